"""A target as it is typed, "model.py:Net", taken apart; nothing is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gradcheck_health.records.errors import UsageError

MAX_NAME = 255
"""Bytes of a file's name."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the user typed, taken apart."""

    where: str
    """A file, or a dotted module name."""
    name: str | None = None
    """A class, a function or a module-level model in it; None is whatever the file offers."""

    @classmethod
    def parse(cls, text: str) -> Target:
        """`model.py:Net` and pytest's `model.py::Net` are the same.

        Raises:
            UsageError: nothing before the colon, or what stands behind it is no name.
        """
        where, colon, name = text.rpartition(":")
        if not colon or text.endswith(".py") or (text[1:3] == ":\\" and len(where) == 1) or _is_there(text):
            where, colon, name = text, "", ""
        elif where.endswith(":"):  # pytest's spelling
            where = where[:-1]
        if not where or "\0" in text or (colon and not all(part.isidentifier() for part in name.split("."))):
            raise UsageError(
                f"target {text!r}: got no name; allowed: model.py, model.py:Net, model.py:build, package.module:Net"
            )
        longest = max(where.split("/"), key=len)
        if len(longest.encode("utf-8", "surrogatepass")) > MAX_NAME:
            raise UsageError(
                f"target {longest[:40]!r}...: got {len(longest)} characters; no file has a name of more than {MAX_NAME}"
            )
        return cls(where, name or None)

    @property
    def is_file(self) -> bool:
        return self.where.endswith(".py") or "/" in self.where or Path(self.where).is_file()

    def __str__(self) -> str:
        return f"{self.where}:{self.name}" if self.name else self.where


def _is_there(text: str) -> bool:
    """A file or a folder is called so, colons and all."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
