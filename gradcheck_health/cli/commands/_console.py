"""Writing to a terminal or a pipe: width, and colour only where it is shown."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

import click

from gradcheck_health.formats._text import escape, shorten

MIN_WIDTH, MAX_WIDTH = 60, 200
STYLES: dict[str, dict[str, Any]] = {
    "error:": {"fg": "red", "bold": True},
    "warning:": {"fg": "yellow", "bold": True},
    "note:": {"fg": "cyan", "bold": True},
    r".*: no unhealthy gradient found": {"fg": "green"},
    r".*<- error.*": {"fg": "red"},
    r".*<- warning.*": {"fg": "yellow"},
    r"    [a-z]+ {2,}(?=\S)": {"dim": True},
    r"(?!error|warning|note:)[a-z][a-z ]*: +(?=\S)": {"dim": True},
}
"""The start of a line -> how it is painted."""


def width() -> int:
    """Columns to fill: those of the terminal, 80 in a pipe."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, MIN_WIDTH), MAX_WIDTH)


def has_blocks(stream: IO[str]) -> bool:
    """The stream is a terminal that can show block characters; a pipe or a CI log gets ASCII."""
    try:
        "\u2588\u2592\u258f".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "linux")


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
    """A function that writes text to the stream at once; a standard error that nobody can write to is passed over."""
    put = _painter(stream) if painted else _plain(stream)

    def write(text: str) -> None:
        with contextlib.suppress(OSError) if stream is sys.stderr else contextlib.nullcontext():
            put(text)

    return write


def _plain(stream: IO[str]) -> Callable[[str], None]:
    def write(text: str) -> None:
        try:
            stream.write(text)
        except UnicodeEncodeError:  # a document is UTF-8 whatever the terminal is, and no pipe knows what it carries
            stream.flush()
            if hasattr(stream, "buffer"):
                stream.buffer.write(text.encode("utf-8", "backslashreplace"))
            else:
                stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
        stream.flush()

    return write


class Status:
    """A line at the bottom of a terminal: what is being done, and for how long; nothing where the stream is no terminal."""

    def __init__(self, stream: IO[str], tick: float = 1.0) -> None:
        self.stream = stream
        self.enabled = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.tick = tick
        self._text = ""
        self._since = 0.0
        self._lock = threading.Lock()
        self._clock: threading.Thread | None = None

    def __call__(self, text: str) -> None:
        """Replace the line; "" takes it away."""
        if not self.enabled:
            return
        with self._lock:
            if text or self._text:
                self._text, self._since = text, time.monotonic()
                self._write()
        if text and self._clock is None:
            self._clock = threading.Thread(target=self._run, daemon=True)
            self._clock.start()

    def _run(self) -> None:
        """A model may take minutes, and a line that stands still looks like a hang."""
        while True:
            time.sleep(self.tick)
            with self._lock:
                if self._text:
                    self._write()

    def _write(self) -> None:
        seconds = int(time.monotonic() - self._since)
        told = f" ... {seconds} s" if seconds else " ..."
        columns = min(width(), 120) - len(told) - 1
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            self.stream.write("\r\x1b[2K" + (shorten(escape(self._text), columns) + told if self._text else ""))
            self.stream.flush()

    def above(self, write: Callable[[str], None]) -> Callable[[str], None]:
        """A writer that takes the line away first."""

        def write_above(text: str) -> None:
            self("")
            write(text)

        return write_above


def _painter(stream: IO[str]) -> Callable[[str], None]:
    def write(text: str) -> None:
        for line in text.splitlines(keepends=True):
            stream.write(_painted(line))
        stream.flush()

    return write


def _painted(line: str) -> str:
    """The line in the style of the first pattern that it begins with; ANSI codes whatever the stream is."""
    for pattern, style in STYLES.items():
        if found := re.match(pattern, line):
            return click.style(found[0], **style) + line[found.end() :]
    return line
