"""Settings from one place, with the line of each key, before they are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """Settings from one place, not yet checked."""

    origin: str
    """The file as a user would name it, or "--seed", "the marker", "argument"."""
    table: Mapping[str, Any]
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)
    """Key path -> line in the file, where the format tells."""

    def line(self, path: tuple[str | int, ...]) -> int:
        """The line of a key or of the nearest key around it; 0 where it is not known."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines[path] if path else 0

    def where(self, path: tuple[str | int, ...]) -> str:
        """`gradhealth.yaml:12`, or the origin alone."""
        line = self.line(path)
        return f"{self.origin}:{line}" if line else self.origin
