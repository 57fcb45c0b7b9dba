"""The flow as a picture in text: one line a layer, a bar on a log scale, and the numbers behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradcheck_health.formats._flow.axis import Axis, axis_of
from gradcheck_health.formats._flow.folded_rows import Row, rows
from gradcheck_health.formats._flow.layer_tree import tree
from gradcheck_health.formats._text import escape, shorten
from gradcheck_health.records.report import Report

MIN_BAR, MAX_BAR = 8, 48
NAME_SHARE = 0.4
"""The largest part of the width that names may take."""
ROOMY = 110
"""From this width on there is room for the names of rules and the rms of what a layer puts out."""


def picture(report: Report, *, width: int = 80, budget: int = 40, blocks: bool = False) -> list[str]:
    """Lines of at most `width` columns; none where the trace holds no gradient of any layer.

    Args:
        budget: rows, at most; what is sound and alike is drawn as one.
        blocks: draw the bars with block characters, for a terminal that has them; ASCII otherwise.
    """
    listed = rows(tree(report), budget)
    known = [value for row in listed if row.gradients for value in row.gradients]
    if not known:
        return []
    scale = axis_of(known)
    columns = [column for column in _columns(listed, width) if any(column.cells)]
    taken = sum(len(column.heading) + 2 for column in columns)
    indents = [f"{'  ' * row.depth}{escape(row.label)}{'  ' if row.folded else ' '}{escape(row.kind)}" for row in listed]
    name = min(max(map(len, [*indents, "layer"])), int(width * NAME_SHARE))
    bar = max(MIN_BAR, min(MAX_BAR, width - name - taken - 4))
    ends = f"{_power(scale.low)}{_power(scale.high).rjust(bar - len(_power(scale.low)))}"
    head = ["  ".join(["layer".ljust(name), ends.ljust(bar + 1), *(column.heading for column in columns)])]
    for i, row in enumerate(listed):
        cells = [column.cells[i].rjust(len(column.heading)) for column in columns if column.heading != _VERDICT]
        marks = [column.cells[i] for column in columns if column.heading == _VERDICT]
        drawn = _bar(row, scale, bar, blocks)
        head.append("  ".join([shorten(indents[i], name).ljust(name), drawn, *cells, *marks]).rstrip())
    return head


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    cells: tuple[str, ...]


_VERDICT = "verdict"


def _columns(listed: Sequence[Row], width: int) -> Iterator[_Column]:
    """Those that do not fit are dropped by their order here; a column without a number is dropped, too."""
    roomy = width >= ROOMY
    yield _Column(" gradient", tuple(map(_gradient, listed)))
    yield _Column("   gain", tuple("" if row.gain is None else f"{row.gain:.2g}" for row in listed))
    if roomy:
        yield _Column("grad. rms", tuple(_value(row, "gradient_rms") for row in listed))
        yield _Column("output rms", tuple(_value(row, "rms") for row in listed))
    for heading, name in (("dead", "dead"), ("flat", "saturated")):
        shares = [row.worst(name) for row in listed]
        yield _Column(heading, tuple(f"{share:.0%}" if share else "" for share in shares))
    yield _Column(_VERDICT, tuple(_verdict(row, roomy) for row in listed))


def _gradient(row: Row) -> str:
    if not any(node.used for node in row.nodes):
        return "unused"
    if any(node.gradient is not None and math.isnan(node.gradient) for node in row.nodes):
        return "nan, inf"
    found = row.gradients
    if found is None:
        return "none" if any(node.called for node in row.nodes) and not row.open else ""
    return f"{found[0]:.2g}" if found[0] > 0 else "0"


def _value(row: Row, name: str) -> str:
    values = [value for node in row.nodes if (value := getattr(node, name)) is not None]
    return f"{min(values):.2g}" if values else ""


def _verdict(row: Row, roomy: bool) -> str:
    if row.severity is None:
        return ""
    names = [escape(finding.rule) for finding in row.findings if finding.severity is row.severity]
    return f"<- {row.severity}" + (f": {shorten(names[0], 24)}" if roomy else "")


def _bar(row: Row, scale: Axis, width: int, blocks: bool) -> str:
    solid, range_, edge = ("\u2588", "\u2592", "\u258f") if blocks else ("#", "-", "|")
    found = row.gradients
    if found is None:
        return " " * (width + 1)
    low, high = (round(scale.position(value) * width) for value in found)
    # what is there shows: a bar of no length is an exact zero
    low = max(low, int(found[0] > 0))
    return edge + (solid * low + range_ * (high - low)).ljust(width)


def _power(exponent: int) -> str:
    return "1" if exponent == 0 else f"1e{exponent:+03d}".replace("+0", "").replace("+", "")
