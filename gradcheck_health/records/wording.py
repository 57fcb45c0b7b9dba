"""Small phrases that every room writes alike: counts, and lists that end in "and 3 more"."""

from __future__ import annotations

from collections.abc import Sequence

NAMES = 4
"""As many names as a reader takes in at once."""


def counted(count: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str], limit: int = NAMES) -> str:
    """`a, b, c, d and 3 more`."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def a_kind(value: object) -> str:
    """`a Linear`, `an OrderedDict`: what a value is."""
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOUaeio' else 'a'} {name}"
