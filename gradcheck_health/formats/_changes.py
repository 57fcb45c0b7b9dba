"""What changed against a baseline or another run, in plain lines."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_health.change import Change, Restructured, Shift
from gradcheck_health.formats._text import many

MAX_LINES = 40


def change_lines(change: Change | None) -> Iterator[str]:
    """One line a difference, what fails first; none where nothing was compared or nothing changed."""
    if change is None:
        return
    lines = [
        *map(_shift, change.shifts),
        *(f"new: {entry.key}: {entry.text}" for entry in change.new),
        *(f"gone: {entry.key}" for entry in change.gone),
        *map(_restructured, change.structure),
        *change.notes,
    ]
    yield from lines[:MAX_LINES]
    if len(lines) > MAX_LINES:
        yield f"and {many(len(lines) - MAX_LINES, 'more difference')}"


def _shift(shift: Shift) -> str:
    fails = ", fails" if shift.fails else ""
    values = f"{_value(shift, shift.before)} -> {_value(shift, shift.now)} ({_value(shift, shift.allowed)} allowed)"
    return f"{shift.verdict}{fails}: {shift.metric} of {shift.name or 'the model'}: {values}"


def _value(shift: Shift, value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.0%}" if shift.metric.endswith("fraction") else f"{value:.2f} decades"


def _restructured(entry: Restructured) -> str:
    detail = " -> ".join(part for part in (entry.before, entry.now) if part)
    return f"{entry.what} {entry.how}: {entry.name}" + (f" ({detail})" if detail else "")
