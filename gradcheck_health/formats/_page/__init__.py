"""The HTML report: values for its template, one file for each part of the page. `formats/html.py` puts them together."""
