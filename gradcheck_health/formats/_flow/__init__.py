"""The flow of a trace, drawn as text, as SVG and as a figure."""
