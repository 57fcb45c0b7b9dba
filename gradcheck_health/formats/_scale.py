"""A sweep over sizes in rows and sentences, for every format that shows text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradcheck_health.formats._text import escape, shorten, wrap
from gradcheck_health.records.scale import Scale, SizePoint
from gradcheck_health.rules.analysis import depth_scale

LAYERS = 8
"""Of the coordinate check, the steepest."""
HEAD = ("depth", "width", "parameters", "FLOPs", "time", "memory", "flow")
_USUAL = "1 in the standard parametrisation under Adam, 0 in muP"
NAME = 34
"""Columns of a layer's name and class."""


def size_rows(scale: Scale) -> list[tuple[str, ...]]:
    """A row a size under `HEAD`; of one that was left out the reason stands in the last column."""
    return [_row(point) for point in scale.points]


def _row(point: SizePoint) -> tuple[str, ...]:
    size = tuple("-" if value is None else str(value) for value in (point.depth, point.width))
    if point.skipped:
        return (*size, "-", "-", "-", "-", f"left out: {point.skipped}")
    return (
        *size,
        _short(point.parameters),
        _short(point.flops),
        _time(point.seconds),
        f"{_short(point.memory)}B",
        _flow(point),
    )


def _flow(point: SizePoint) -> str:
    """The middle of the seeds, and what is wrong with it."""
    if not point.ratios:
        return "not judged"
    ordered = sorted(point.ratios)
    middle = ordered[len(ordered) // 2]
    verdict = " vanishing" if middle < point.lowest else " exploding" if middle > point.highest else ""
    return f"{middle:.2g}{verdict}{' (kicked)' if point.kicked else ''}"


def _short(value: float) -> str:
    """`9.7k`, `1.75M`."""
    value = min(value, 10**17)
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def sentences(scale: Scale) -> Iterator[tuple[str, str]]:
    """(label, text) of what the sizes say together."""
    if scale.fit is not None:
        yield "depth", depth_scale.rate(scale.fit)
        yield "limit", depth_scale.limit(scale.fit)
        if said := depth_scale.check(scale.fit):
            yield "checked", said
    if scale.slopes:
        steps = f"{scale.steps} steps of {scale.optimizer}, {scale.seeds} seeds"
        widths = ", ".join(map(str, scale.widths))
        yield "width", f"how far {steps}, move each output, as a power of the width ({widths}): {_USUAL}"
    for note in scale.notes:
        yield "not judged", note


def slope_rows(scale: Scale) -> list[tuple[str, str]]:
    """(layer and class, exponent with its error), the steepest first."""
    rows = [
        (f"{one.layer or 'the output'} ({one.kind})", f"{one.slope:+.2f}{_error(one.error)}") for one in scale.slopes[:LAYERS]
    ]
    left = len(scale.slopes) - LAYERS
    return [*rows, (f"and {left} more", f"up to {abs(scale.slopes[LAYERS].slope):.2f}")] if left > 0 else rows


def _error(value: float) -> str:
    return f" +- {value:.2f}" if math.isfinite(value) else ""


def lines(scale: Scale, width: int) -> Iterator[str]:
    """The tables and sentences as plain text of at most so many columns."""
    yield from _table(size_rows(scale), width)
    yield ""
    for label, text in sentences(scale):
        yield from wrap(escape(text), width, first=f"{label + ':':12}", hang=12)
        if label == "width":
            for name, value in slope_rows(scale):
                yield f"{'':12}{shorten(escape(name), NAME):{NAME}}  {value}"


def _table(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    sizes = [max(len(row[i]) for row in (HEAD, *rows)) for i in range(len(HEAD) - 1)]
    for row in (HEAD, *rows):
        start = "  ".join(f"{cell:>{size}}" for cell, size in zip(row, sizes, strict=False))
        yield from wrap(escape(row[-1]), width, first=f"{start}  ", hang=len(start) + 2)
