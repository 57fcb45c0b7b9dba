"""The generated parts of the pages, by what says them first: the code, a command, or a measurement."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
