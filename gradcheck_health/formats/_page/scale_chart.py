"""A sweep on a page: the flow against depth and the steps against width, both on logarithmic axes, and the tables beside them.

Coordinates are per mille.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradcheck_health.formats import _scale
from gradcheck_health.formats._page.visible import number, places
from gradcheck_health.records.report import Report
from gradcheck_health.records.scale import DepthFit, Scale
from gradcheck_health.rules.analysis import depth_scale

LEFT, RIGHT, TOP, BOTTOM = 70.0, 960.0, 70.0, 930.0
TICKS = 6
_FURTHEST = 300.0
"""Decades: what lies beyond is drawn at the edge."""
CURVE = 24
"""Points of a fitted line."""
NAMED = 6
"""Layers of the coordinate check that have a line of their own and a name."""


@dataclass(frozen=True, slots=True)
class Tick:
    at: str
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    path: str
    dots: str


@dataclass(frozen=True, slots=True)
class LogChart:
    """One pair of logarithmic axes."""

    title: str
    axis: str
    """What runs to the right."""
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    fitted: str = ""
    """Path of the fitted line."""
    limit: str = ""
    """Height of the bound."""
    limit_label: str = ""
    mark: str = ""
    """Path of what was measured at a depth that was not fitted."""


@dataclass(frozen=True, slots=True)
class ScaleView:
    """Everything that the page shows of a sweep."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sentences: tuple[tuple[str, str], ...]
    slopes: tuple[tuple[str, str], ...]
    charts: tuple[LogChart, ...]


def scale_view(report: Report) -> ScaleView | None:
    """None where no sweep was made."""
    scale = report.trace.scale
    if scale is None:
        return None
    charts = [one for one in (_depth_chart(scale), _width_chart(scale)) if one is not None]
    return ScaleView(
        _scale.HEAD,
        tuple(_scale.size_rows(scale)),
        tuple(_scale.sentences(scale)),
        tuple(_scale.slope_rows(scale)),
        tuple(charts),
    )


@dataclass(frozen=True, slots=True)
class _Axes:
    """Decades to per mille."""

    low: float
    high: float
    bottom: float
    top: float

    @classmethod
    def over(cls, points: Iterable[tuple[float, float]]) -> _Axes:
        xs, ys = zip(*points, strict=True)
        return cls(min(xs), max(xs), min(ys), max(ys))

    def x(self, value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (value - self.low) / (self.high - self.low or 1.0)

    def y(self, value: float) -> float:
        share = (value - self.bottom) / (self.top - self.bottom) if self.top > self.bottom else 0.5
        return BOTTOM - share * (BOTTOM - TOP)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return "".join(f"{'L' if i else 'M'}{places(self.x(x))} {places(self.y(y))}" for i, (x, y) in enumerate(points))

    def dots(self, points: Iterable[tuple[float, float]]) -> str:
        return "".join(f"M{places(self.x(x))} {places(self.y(y))}h0" for x, y in points)

    def y_ticks(self) -> tuple[Tick, ...]:
        """Whole powers of ten where there are several, otherwise both ends."""
        first, last = math.ceil(self.bottom), math.floor(self.top)
        step = max(1, math.ceil((last - first + 1) / TICKS))
        whole = list(range(first, last + 1, step))
        values = [float(one) for one in whole] if len(whole) > 1 else [self.bottom, self.top]
        return tuple(Tick(places(self.y(one)), number(10.0**one)) for one in values)


def _logs(values: Iterable[float]) -> list[float]:
    return [math.log10(value) for value in values if value > 0.0 and math.isfinite(value)]


def _points(found: Iterable[tuple[int | float | None, float]]) -> list[tuple[float, float]]:
    """Sizes and logarithms as decades, what cannot be drawn left out: a report may hold any numbers."""
    return [
        (math.log10(size), min(max(y, -_FURTHEST), _FURTHEST))
        for size, y in found
        if size is not None and 1 <= size <= 10.0**_FURTHEST and math.isfinite(y)
    ]


def _depth_chart(scale: Scale) -> LogChart | None:
    fit = scale.fit
    if fit is None:
        return None
    fitted = [one for one in scale.points if one.depth in fit.depths]
    seen = _points((one.depth, y) for one in fitted for y in _logs(one.ratios))
    check = [] if fit.check is None else _points([(fit.check.depth, fit.check.measured)])
    if not seen:
        return None
    ends = sorted(x for x, _ in (*seen, *check))
    line = _fitted(fit, ends[0], ends[-1])
    bound = _logs([fit.bound])
    axes = _Axes.over([*seen, *check, *line, *((seen[0][0], y) for y in bound)])
    depths = sorted({x for x, _ in (*seen, *check)})
    return LogChart(
        "Flow against depth: gradient norm at the first layer over that at the head, a point a seed (both axes logarithmic)",
        scale.depth_name or "depth",
        (Curve("seeds", "", axes.dots(seen)),),
        tuple(Tick(places(axes.x(one) / 10), f"{10**one:.6g}") for one in depths),
        axes.y_ticks(),
        fitted=axes.path(line),
        limit=places(axes.y(bound[0])) if bound else "",
        limit_label=f"{fit.rule}: {number(fit.bound)}" if bound else "",
        mark=axes.dots(check),
    )


def _fitted(fit: DepthFit, first: float, last: float) -> list[tuple[float, float]]:
    depths = [10 ** (first + (last - first) * i / CURVE) for i in range(CURVE + 1)]
    return _points((depth, depth_scale.predicted(fit, depth)) for depth in depths)


def _width_chart(scale: Scale) -> LogChart | None:
    points = [one for one in scale.points if one.width in scale.widths and one.changes]
    drawn: list[tuple[str, list[tuple[float, float]]]] = []
    for slope in scale.slopes[:NAMED]:
        found = [(one.width, _logs(one.changes.get(slope.layer, ()))) for one in sorted(points, key=lambda one: one.width or 0)]
        line = _points((width, sum(ys) / len(ys)) for width, ys in found if ys)
        drawn.append((f"{slope.layer or 'the output'} ({slope.slope:+.2f})", line))
    if len({x for _, line in drawn for x, _ in line}) < 2:
        return None
    axes = _Axes.over([point for _, line in drawn for point in line])
    return LogChart(
        "Steps against width: how far each output moves, the steepest layers with their exponents (both axes logarithmic)",
        scale.width_name or "width",
        tuple(Curve(name, axes.path(line), axes.dots(line)) for name, line in drawn),
        tuple(Tick(places(axes.x(one) / 10), f"{10**one:.6g}") for one in sorted({x for _, line in drawn for x, _ in line})),
        axes.y_ticks(),
    )
