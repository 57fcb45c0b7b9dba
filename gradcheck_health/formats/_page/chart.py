"""Flow against depth: where every point, band, limit and mark of the chart lies. Coordinates are per mille of the plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck_health.formats._flow.axis import Axis, axis_of
from gradcheck_health.formats._flow.points import Point, flow_points, ghost, other_seeds
from gradcheck_health.formats._flow.stretches import Dark, dark_side, near_limits, stretches
from gradcheck_health.formats._page.visible import number, places
from gradcheck_health.records.report import Report

LEFT, RIGHT = 90.0, 970.0
TOP, BOTTOM = 50.0, 960.0
GAP = 45.0
"""Between a cut and the first point behind it."""
MAX_POINTS = 600
"""More are drawn as the smallest and largest of neighbours, so that no peak is lost."""
MAX_TICKS = 9
MAX_DOTS = 80
MAX_MARKS, MAX_LABELS = 300, 10


@dataclass(frozen=True, slots=True)
class Tick:
    at: str
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch on which a finding says that the flow breaks."""

    left: str
    width: str
    middle: str
    label: str
    """Number of the finding on the page; "" where there are too many marks to number each."""
    severity: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A line on a log axis with its dots; and where it leaves the axis, because the value is zero or not finite."""

    path: str
    dots: str
    lost: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything the template needs to draw both panels."""

    points: tuple[Point, ...]
    by: str
    note: str
    gradient: Curve
    gradient_ticks: tuple[Tick, ...]
    limits: tuple[Tick, ...]
    far: tuple[str, ...]
    """Limits too far away to be drawn."""
    left: str
    """Where the first point lies."""
    dark: str
    """What is said of the part in front of a cut; "" where there is none."""
    cut_at: str
    band: str
    seeds: int
    ghost: str
    outputs: Curve
    output_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    depth_ticks: tuple[Tick, ...]
    summary: str


def chart(report: Report) -> Chart | None:
    """None where fewer than two points of the flow are known."""
    trace = report.trace
    points, by = flow_points(trace)
    if len(points) < 2:
        return None
    others = other_seeds(trace, points)
    before = ghost(trace, points)
    drawn = [*(p.gradient for p in points), *(v for row in others for v in row), *(value for value in before if value)]
    limits, far = near_limits(report.limits, drawn)
    scale = axis_of([*drawn, *limits.values()])
    dark = dark_side(trace)
    left = _left(dark, points)
    forward = axis_of([p.output for p in points if p.output is not None])
    return Chart(
        points=points,
        by=by,
        note=trace.flow_note,
        gradient=_curve([p.gradient for p in points], scale, left),
        gradient_ticks=_ticks(scale),
        limits=tuple(Tick(_y(bound, scale), f"{name}: {number(bound)}") for name, bound in limits.items()),
        far=tuple(f"{name}: {number(bound)}" for name, bound in far.items()),
        left=places(left),
        dark="" if dark is None else dark.label,
        cut_at=places(left - GAP) if dark is not None else "",
        band=_band([[p.gradient for p in points], *others], scale, left) if others else "",
        seeds=len(others) + 1,
        ghost=_path(before, scale, left),
        outputs=_curve([p.output for p in points], forward, left),
        output_ticks=_ticks(forward),
        marks=_marks(report, points, left),
        depth_ticks=_depth(points, left),
        summary=_summary(points),
    )


def _x(i: int, n: int, left: float) -> float:
    return left + (RIGHT - left) * i / max(1, n - 1)


def _left(dark: Dark | None, points: Sequence[Point]) -> float:
    """Where the first point lies: the more layers are cut off, the more of the width is dark."""
    if dark is None:
        return LEFT
    share = len(dark.layers) / (len(dark.layers) + len({point.layer for point in points}))
    return LEFT + (RIGHT - LEFT) * min(0.5, max(0.15, share))


def sparks(charts: Sequence[Chart | None]) -> list[str]:
    """A line for each of several models, all on one scale: what vanishes looks steeper than what does not."""
    known = [[point.gradient for point in one.points] for one in charts if one is not None]
    scale = axis_of([value for row in known for value in row])
    return ["" if one is None else _path([p.gradient for p in one.points], scale, LEFT) for one in charts]


def _y(value: float, scale: Axis) -> str:
    return places(BOTTOM - (BOTTOM - TOP) * scale.position(value))


def _drawable(value: float | None) -> bool:
    return value is not None and 0 < value < math.inf


def _thinned(values: Sequence[float | None]) -> list[int]:
    """Which indices to draw."""
    n = len(values)
    if n <= MAX_POINTS:
        return list(range(n))
    size = math.ceil(2 * n / MAX_POINTS)
    kept = {0, n - 1}
    for start in range(0, n, size):
        inside = range(start, min(n, start + size))
        kept.update(i for i in inside if not _drawable(values[i]))
        known = [i for i in inside if _drawable(values[i])]
        if known:
            kept.update((min(known, key=lambda i: values[i] or 0.0), max(known, key=lambda i: values[i] or 0.0)))
    return sorted(kept)


def _path(values: Sequence[float | None], scale: Axis, left: float) -> str:
    """An SVG path: it runs over what was not measured, and breaks where a value is zero or not finite."""
    parts, pen = [], False
    for i in _thinned(values):
        value = values[i]
        if value is None:
            continue
        if not _drawable(value):
            pen = False
            continue
        parts.append(f"{'L' if pen else 'M'}{places(_x(i, len(values), left))} {_y(value, scale)}")
        pen = True
    return "".join(parts)


def _curve(values: Sequence[float | None], scale: Axis, left: float) -> Curve:
    n = len(values)
    dots = lost = ""
    for i in _thinned(values):
        value = values[i]
        if _drawable(value) and value is not None:
            # a line of no length with round ends is a dot that no stretching distorts
            dots += f"M{places(_x(i, n, left))} {_y(value, scale)}h0" if n <= MAX_DOTS else ""
        elif value is not None:
            lost += f"M{places(_x(i, n, left))} {places(BOTTOM)}h0"
    return Curve(_path(values, scale, left), dots, lost)


def _band(rows: Sequence[Sequence[float]], scale: Axis, left: float) -> str:
    """Between the smallest and the largest over the seeds."""
    ranges = []
    for column in zip(*rows, strict=True):
        known = [value for value in column if _drawable(value)]
        ranges.append((min(known), max(known)) if known else (None, None))
    n = len(ranges)
    kept = [i for i in _thinned([low for low, _ in ranges]) if ranges[i][0] is not None]
    up = [f"{places(_x(i, n, left))} {_y(ranges[i][1] or 0.0, scale)}" for i in kept]
    down = [f"{places(_x(i, n, left))} {_y(ranges[i][0] or 0.0, scale)}" for i in reversed(kept)]
    return f"M{'L'.join([*up, *down])}Z" if kept else ""


def _ticks(scale: Axis) -> tuple[Tick, ...]:
    step = max(1, math.ceil((scale.high - scale.low) / MAX_TICKS))
    exponents = range(scale.high, scale.low - 1, -step)
    return tuple(Tick(_y(10.0**e, scale), "1" if e == 0 else "10" if e == 1 else f"1e{e}") for e in exponents)


def _marks(report: Report, points: Sequence[Point], left: float) -> tuple[Mark, ...]:
    n = len(points)
    found = []
    for number_, finding, runs in stretches(report, points):
        every = math.ceil(len(runs) / MAX_LABELS)
        for k, run in enumerate(runs[:MAX_MARKS]):
            start, end = _x(max(0, run[0] - 1), n, left), _x(run[-1], n, left)
            width = max(end - start, 4.0)
            label = str(number_) if k % every == 0 else ""
            found.append(Mark(places(start), places(width), places((start + width / 2) / 10), label, finding.severity.value))
    return tuple(found)


def _depth(points: Sequence[Point], left: float) -> tuple[Tick, ...]:
    n = len(points)
    wanted = sorted({0, n // 4, n // 2, 3 * n // 4, n - 1}) if n > 4 else [0, n - 1]
    rows = [(_x(i, n, left) / 10, points[i].layer or points[i].op) for i in wanted]
    # the first label begins at its point, the last ends there, and one between has its middle there
    free, end = rows[0][0] + _wide(rows[0][1]), rows[-1][0] - _wide(rows[-1][1])
    kept = [rows[0]]
    for at, label in rows[1:-1]:
        half = _wide(label) / 2
        if at - half > free and at + half < end:
            kept.append((at, label))
            free = at + half
    return tuple(Tick(places(at), label) for at, label in [*kept, rows[-1]])


def _wide(label: str) -> float:
    """Per cent of the width that a label takes, at most, where the page is wide enough to show it."""
    return 1.1 * min(len(label), 18) + 1.0


def _summary(points: Sequence[Point]) -> str:
    first, last = points[0], points[-1]
    ends = f"from {last.layer or last.op} back to {first.layer or first.op}"
    if not _drawable(first.gradient):
        what = "nothing is left of the gradient" if first.gradient == 0 else "the gradient is not finite"
        return f"on its way {ends} {what}"
    verb, unit = ("shrinks to", "of") if first.gradient < 1 else ("grows to", "times")
    return f"on its way {ends} the norm of the gradient {verb} {number(first.gradient)} {unit} what it was"
