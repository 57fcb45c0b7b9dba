"""A training run over its steps: one panel a quantity, and the step at which each rule spoke. Coordinates are per mille."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gradcheck_health.formats._page.visible import number, places
from gradcheck_health.records.history import Moment, Track
from gradcheck_health.records.report import Report
from gradcheck_health.records.wording import listed

TOP, BOTTOM = 120.0, 900.0
LOG = 20.0
"""A quantity whose largest value is so many times its smallest is drawn on a log scale."""
APART = 30.0
"""Marks that stand closer than this share one number tag."""
_READ: dict[str, Callable[[Moment], float | None]] = {
    "norm of the gradient, as applied": lambda one: one.gradient,
    "how far a step moves the typical weight, of its size": lambda one: one.median,
    "share of units without gradient": lambda one: one.dead,
    "norm of the weights": lambda one: one.weight,
}


@dataclass(frozen=True, slots=True)
class StepMark:
    """Where a rule spoke for the first time."""

    at: str
    label: str
    severity: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A curve between two lines, and the values that these stand for."""

    name: str
    path: str
    scale: str
    high: str
    low: str


@dataclass(frozen=True, slots=True)
class RunChart:
    """Of one optimizer."""

    title: str
    panels: tuple[Panel, ...]
    marks: tuple[StepMark, ...]
    tags: tuple[StepMark, ...]
    """The numbers of the marks, where they stand; those that stand together in one."""
    first: int
    middle: int
    last: int


def run_charts(report: Report) -> tuple[RunChart, ...]:
    """One an optimizer that took steps; none where no loop was watched."""
    history = report.trace.history
    if history is None:
        return ()
    numbers = {(finding.rule, finding.message): i for i, finding in enumerate(report.active, 1)}
    found = []
    for track in history.tracks:
        if len(track.moments) < 2:
            continue
        first, last = track.moments[0].step, track.moments[-1].step
        known = [(one, numbers.get((one.finding.rule, one.finding.message))) for one in history.noticed]
        at = [(_x(max(min(one.step, last), first), first, last), number, one.finding) for one, number in known if number]
        marks = tuple(StepMark(places(x), f"{number} {one.rule}", one.severity.value) for x, number, one in at)
        tags = tuple(StepMark(places(x / 10), text, "") for x, text in _together([(x, str(number)) for x, number, _ in at]))
        rest = (
            f" of {listed([one.name for one in track.parameters], 1)}" if len(history.tracks) > 1 and track.parameters else ""
        )
        title = f"{track.optimizer}{rest}: {track.steps} steps, {len(track.moments)} shown"
        found.append(RunChart(title, _panels(track, first, last), marks, tags, first, (first + last) // 2, last))
    return tuple(found)


def _together(numbers: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    found: list[tuple[float, str]] = []
    for x, text in sorted(numbers):
        if found and x - found[-1][0] < APART:
            found[-1] = (found[-1][0], f"{found[-1][1]} {text}")
        else:
            found.append((x, text))
    return found


def _panels(track: Track, first: int, last: int) -> tuple[Panel, ...]:
    drawn = []
    for name, read in _READ.items():
        drawn.append(_panel(name, [(one.step, read(one)) for one in track.moments], first, last))
    drawn.append(_panel("loss", track.losses, first, last))
    return tuple(panel for panel in drawn if panel is not None)


def _panel(name: str, values: Sequence[tuple[int, float | None]], first: int, last: int) -> Panel | None:
    known = [(step, value) for step, value in values if value is not None and math.isfinite(value)]
    if len(known) < 2:
        return None
    low, high = min(value for _, value in known), max(value for _, value in known)
    scaled = math.log if low > 0 and high > LOG * low else float
    bottom, top = scaled(low), scaled(high)
    path, pen = [], "M"
    for step, value in values:
        if value is None or not math.isfinite(value):
            pen = "M"  # the curve breaks where there is no number
            continue
        share = (scaled(value) - bottom) / (top - bottom) if top > bottom else 0.5
        path.append(f"{pen}{places(_x(step, first, last))} {places(BOTTOM - share * (BOTTOM - TOP))}")
        pen = "L"
    return Panel(name, "".join(path), ", log scale" if scaled is math.log else "", number(high, 3), number(low, 3))


def _x(step: int, first: int, last: int) -> float:
    return 1000.0 * (step - first) / max(last - first, 1)
