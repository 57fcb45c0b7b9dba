"""Readers of what others write, fed with anything: only our own errors may come out, each within a second."""
