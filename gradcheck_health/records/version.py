"""The version, in a file of its own, so that nobody imports the package to know it."""

__version__ = "0.1.0"
