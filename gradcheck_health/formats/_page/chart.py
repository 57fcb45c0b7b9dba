"""Flow against depth: where every point, band, limit and mark of the chart lies. Coordinates are per mille of the plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck_health.formats._flow.axis import Axis, axis_of
from gradcheck_health.formats._flow.points import Point, flow_points, ghost, other_seeds
from gradcheck_health.formats._page.visible import number, places
from gradcheck_health.records.report import Report

LEFT, RIGHT = 90.0, 970.0
TOP, BOTTOM = 50.0, 960.0
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
    limits = {name: bound for name, bound in report.limits.items() if bound > 0 and math.isfinite(bound)}
    before = ghost(trace, points)
    spread = [value for row in others for value in row]
    scale = axis_of([*(p.gradient for p in points), *limits.values(), *spread, *(value for value in before if value)])
    forward = axis_of([p.output for p in points if p.output is not None])
    return Chart(
        points=points,
        by=by,
        note=trace.flow_note,
        gradient=_curve([p.gradient for p in points], scale),
        gradient_ticks=_ticks(scale),
        limits=tuple(Tick(_y(bound, scale), f"{name}: {number(bound)}") for name, bound in limits.items()),
        band=_band([[p.gradient for p in points], *others], scale) if others else "",
        seeds=len(others) + 1,
        ghost=_path(before, scale),
        outputs=_curve([p.output for p in points], forward),
        output_ticks=_ticks(forward),
        marks=_marks(report, points),
        depth_ticks=_depth(points),
        summary=_summary(points),
    )


def _x(i: int, n: int) -> float:
    return LEFT + (RIGHT - LEFT) * i / max(1, n - 1)


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


def _path(values: Sequence[float | None], scale: Axis) -> str:
    """An SVG path: it runs over what was not measured, and breaks where a value is zero or not finite."""
    parts, pen = [], False
    for i in _thinned(values):
        value = values[i]
        if value is None:
            continue
        if not _drawable(value):
            pen = False
            continue
        parts.append(f"{'L' if pen else 'M'}{places(_x(i, len(values)))} {_y(value, scale)}")
        pen = True
    return "".join(parts)


def _curve(values: Sequence[float | None], scale: Axis) -> Curve:
    n = len(values)
    dots = lost = ""
    for i in _thinned(values):
        value = values[i]
        if _drawable(value) and value is not None:
            # a line of no length with round ends is a dot that no stretching distorts
            dots += f"M{places(_x(i, n))} {_y(value, scale)}h0" if n <= MAX_DOTS else ""
        elif value is not None:
            lost += f"M{places(_x(i, n))} {places(BOTTOM)}h0"
    return Curve(_path(values, scale), dots, lost)


def _band(rows: Sequence[Sequence[float]], scale: Axis) -> str:
    """Between the smallest and the largest over the seeds."""
    ranges = []
    for column in zip(*rows, strict=True):
        known = [value for value in column if _drawable(value)]
        ranges.append((min(known), max(known)) if known else (None, None))
    n = len(ranges)
    kept = [i for i in _thinned([low for low, _ in ranges]) if ranges[i][0] is not None]
    up = [f"{places(_x(i, n))} {_y(ranges[i][1] or 0.0, scale)}" for i in kept]
    down = [f"{places(_x(i, n))} {_y(ranges[i][0] or 0.0, scale)}" for i in reversed(kept)]
    return f"M{'L'.join([*up, *down])}Z" if kept else ""


def _ticks(scale: Axis) -> tuple[Tick, ...]:
    step = max(1, math.ceil((scale.high - scale.low) / MAX_TICKS))
    exponents = range(scale.high, scale.low - 1, -step)
    return tuple(Tick(_y(10.0**e, scale), "1" if e == 0 else "10" if e == 1 else f"1e{e}") for e in exponents)


def _marks(report: Report, points: Sequence[Point]) -> tuple[Mark, ...]:
    """For each finding the stretches whose operation it names, or that lie in the layers that it names."""
    n = len(points)
    found = []
    for number_, finding in enumerate(report.active, 1):
        hits = sorted({i for name in finding.names if name in report.trace.layers for i in _inside(name, points)})
        runs: list[list[int]] = []
        for i in hits:
            if runs and i == runs[-1][-1] + 1:
                runs[-1].append(i)
            else:
                runs.append([i])
        every = math.ceil(len(runs) / MAX_LABELS)
        for k, run in enumerate(runs[:MAX_MARKS]):
            left, right = _x(max(0, run[0] - 1), n), _x(run[-1], n)
            width = max(right - left, 4.0)
            label = str(number_) if k % every == 0 else ""
            found.append(Mark(places(left), places(width), places((left + width / 2) / 10), label, finding.severity.value))
    return tuple(found)


def _inside(name: str, points: Sequence[Point]) -> list[int]:
    """Points of this very layer; without any, those of its parts. The model itself is everywhere, which marks nothing."""
    exact = [i for i, p in enumerate(points) if name and p.layer == name]
    return exact or [i for i, p in enumerate(points) if name and p.layer.startswith(f"{name}.")]


def _depth(points: Sequence[Point]) -> tuple[Tick, ...]:
    n = len(points)
    wanted = sorted({0, n // 4, n // 2, 3 * n // 4, n - 1}) if n > 4 else [0, n - 1]
    return tuple(Tick(places(_x(i, n) / 10), points[i].layer or points[i].op) for i in wanted)


def _summary(points: Sequence[Point]) -> str:
    first, last = points[0], points[-1]
    ends = f"from {last.layer or last.op} back to {first.layer or first.op}"
    if not _drawable(first.gradient):
        what = "nothing is left of the gradient" if first.gradient == 0 else "the gradient is not finite"
        return f"on its way {ends} {what}"
    verb, unit = ("shrinks to", "of") if first.gradient < 1 else ("grows to", "times")
    return f"on its way {ends} the norm of the gradient {verb} {number(first.gradient)} {unit} what it was"
