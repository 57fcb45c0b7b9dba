"""Lines of source around a place, with carets under what the finding is about; read while the page is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.files import read_regular
from gradcheck_health.records.finding import Place

AROUND = 2
MAX_BYTES = 2**20
MAX_COLUMNS = 160


@dataclass(frozen=True, slots=True)
class ExcerptLine:
    number: int
    text: str
    carets: str = ""
    """Spaces and carets that stand below the line; "" below the others."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    source: str
    lines: tuple[ExcerptLine, ...]


def excerpt(place: Place) -> Excerpt | None:
    """None where there is no such line any more. Only Python files are read: a report names whatever its author likes."""
    where, _, line = (place.source or "").rpartition(":")
    if not where.endswith(".py") or not line.isascii() or not line.isdigit():
        return None
    number, lines = int(line[:9]), _lines(Path(where))
    if not 1 <= number <= len(lines):
        return None
    around = range(max(1, number - AROUND), min(len(lines), number + AROUND) + 1)
    shown = tuple(
        ExcerptLine(i, lines[i - 1][:MAX_COLUMNS], _carets(lines[i - 1][:MAX_COLUMNS], place) if i == number else "")
        for i in around
    )
    return Excerpt(place.source or "", shown)


def _lines(path: Path) -> tuple[str, ...]:
    """Those of a file below the working directory; a report from a stranger could name any other, links included."""
    try:
        real = path.resolve()
        return _read(real, real.stat().st_mtime_ns) if real.is_relative_to(Path.cwd().resolve()) else ()
    except (OSError, RuntimeError, ValueError, UsageError):
        return ()


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> tuple[str, ...]:
    """A notebook edits a file between two reports: `changed` is when."""
    text = read_regular(path, MAX_BYTES).decode("utf-8")
    return tuple(line.expandtabs(4) for line in text.replace("\r\n", "\n").split("\n"))


def _carets(line: str, place: Place) -> str:
    """Below the class that is built, or the attribute it is bound to, or the function that is called; else below all code."""
    words = [place.kind, place.name.rpartition(".")[2], place.name.rpartition(".")[0].rpartition(".")[2], *place.note.split()]
    for word in words:
        if word and not word.isdigit() and (found := re.search(rf"(?:\b[\w.]+\.)?\b{re.escape(word)}\b", line)):
            return " " * found.start() + "^" * (found.end() - found.start())
    code = line.split("#")[0].rstrip()
    start = len(code) - len(code.lstrip())
    return " " * start + "^" * max(1, len(code) - start)
