"""The HTML report: values for its template, one file for each part. `formats/html.py` puts them together."""
