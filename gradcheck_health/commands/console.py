"""Writing to a terminal or a pipe: width, and colour only where somebody sees it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from typing import IO

from gradcheck_health.formats._text import escape, shorten

MIN_WIDTH, MAX_WIDTH = 60, 120
STYLES = {
    "error:": "bold red",
    "warning:": "bold yellow",
    "note:": "bold cyan",
    r".*: no unhealthy gradient found": "green",
    r"    [a-z]+ {2,}(?=\S)": "dim",
    r"(?!error|warning|note:)[a-z][a-z ]*: +(?=\S)": "dim",
}
"""The start of a line -> how it is painted."""


def width() -> int:
    """Columns to fill: those of the terminal, 80 in a pipe; long lines are hard to read."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, MIN_WIDTH), MAX_WIDTH)


def wants_color(stream: IO[str], choice: str = "auto") -> bool:
    """NO_COLOR wins over everything that was not typed, FORCE_COLOR over what the stream is."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def writer(stream: IO[str], painted: bool) -> Callable[[str], None]:
    """A function that writes text to the stream at once."""
    if painted:
        return _painter(stream)

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return write


class Status:
    """A line at the bottom of a terminal that says what is being done; nothing where the stream is no terminal."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.enabled = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.shown = False

    def __call__(self, text: str) -> None:
        """Replace the line; "" takes it away."""
        if self.enabled and (text or self.shown):
            self.stream.write("\r\x1b[2K" + (shorten(escape(text), width() - 5) + " ..." if text else ""))
            self.stream.flush()
            self.shown = bool(text)

    def above(self, write: Callable[[str], None]) -> Callable[[str], None]:
        """A writer that takes the line away first."""

        def write_above(text: str) -> None:
            self("")
            write(text)

        return write_above


def _painter(stream: IO[str]) -> Callable[[str], None]:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, force_terminal=True, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def write(text: str) -> None:
        for line in text.splitlines(keepends=True):
            # a Text, not markup: names may hold brackets
            painted = Text(line)
            for pattern, style in STYLES.items():
                if found := re.match(pattern, line):
                    painted.stylize(style, 0, found.end())
            console.print(painted, end="")
        stream.flush()

    return write
