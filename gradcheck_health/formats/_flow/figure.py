"""The flow against depth as a matplotlib figure, for papers and notebooks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradcheck_health.formats._flow.points import Point, flow_points, ghost, other_seeds
from gradcheck_health.formats._flow.stretches import dark_side, near_limits, stretches
from gradcheck_health.formats._text import escape, shorten
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.report import Report

BACKWARD, FORWARD, LIMIT = "#0b5cad", "#8a4b00", "#b3261e"
MAX_TICKS = 12


def plot(report: Report, path: str | Path | None = None, *, width: float = 8.0, height: float = 4.5) -> Any:
    """Draw the norm of the gradient (above) and the rms of the signal (below) at every point of the flow, on log axes.

    Args:
        path: write the figure there, too, as the suffix says: .png, .svg, .pdf.
        width, height: in inches.

    Returns:
        A `matplotlib.figure.Figure`; no global state of matplotlib is touched.

    Raises:
        UsageError: matplotlib is not installed, no such suffix is known to it, or fewer than two points of the flow are known.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("report.plot() needs matplotlib: pip install 'gradcheck-health[plot]'") from error
    points, by = flow_points(report.trace)
    if len(points) < 2:
        raise UsageError(f"no flow to plot: {len(points)} points of it are known, and a line needs 2")
    figure = Figure(figsize=(width, height), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _backward(above, report, points)
    below.plot(_drawable([point.output for point in points]), "--", color=FORWARD, marker=".", label="signal, rms")
    below.set_yscale("log")
    below.set_ylabel("signal, rms")
    step = math.ceil(len(points) / MAX_TICKS)
    named = [shorten(escape(point.layer or point.op), 20) for point in points]
    below.set_xticks(range(0, len(points), step), named[::step], rotation=45, ha="right", fontsize=8, parse_math=False)
    title = f"{shorten(escape(report.target or report.model), 60)}: {'healthy' if report.ok else 'unhealthy'} (by {by})"
    figure.suptitle(title, parse_math=False, fontsize=10)
    if path is not None:
        _save(figure, path)
    return figure


def _backward(axes: Any, report: Report, points: Sequence[Point]) -> None:
    own = [point.gradient for point in points]
    others = other_seeds(report.trace, points)
    if others:
        columns = list(zip(own, *others, strict=True))
        low = _drawable([min(column) for column in columns])
        high = _drawable([max(column) for column in columns])
        axes.fill_between(range(len(points)), low, high, color=BACKWARD, alpha=0.2, label=f"{len(others) + 1} seeds")
    before = ghost(report.trace, points)
    if any(before):
        known = [(i, value) for i, value in enumerate(before) if value]
        axes.plot(*zip(*known, strict=True), ":", color="0.4", label="baseline")
    axes.plot(_drawable(own), color=BACKWARD, marker="." if len(points) < 80 else "", label="gradient")
    lost = [i for i, value in enumerate(own) if not 0 < value < math.inf]
    if lost:
        floor = min((value for value in own if 0 < value < math.inf), default=1.0)
        axes.plot(lost, [floor] * len(lost), "x", color=LIMIT, label="zero or not finite")
    rows: list[Sequence[float | None]] = [own, *others, before]
    drawn = [value for row in rows for value in row if value]
    near, far = near_limits(report.limits, drawn)
    for name, bound in near.items():
        axes.axhline(bound, color=LIMIT, linestyle="--", linewidth=1, label=f"limit of {escape(name)}")
    for name, bound in far.items():
        axes.plot([], [], " ", label=f"limit of {escape(name)}, off the chart: {bound:.2g}")
    for number, finding, runs in stretches(report, points):
        for k, run in enumerate(runs):
            label = "" if k else f"{number} {escape(finding.rule)}"
            axes.axvspan(max(0, run[0] - 1), max(run[-1], run[0] - 0.9), color=LIMIT, alpha=0.12, linewidth=0, label=label)
    if (dark := dark_side(report.trace)) is not None:
        reach = 0.3 * len(points)
        axes.axvspan(-reach, -0.5, color="0.5", alpha=0.3, label=shorten(f"cut off: {escape(dark.label)}", 60))
        axes.axvline(-0.5, color=LIMIT, linewidth=2)
    axes.set_yscale("log")
    axes.set_ylabel("gradient, the head is 1")
    axes.legend(fontsize=8, loc="best")


def _drawable(values: Sequence[float | None]) -> list[float]:
    """NaN is where matplotlib lifts the pen; a log axis has no zero."""
    return [value if value is not None and 0 < value < math.inf else math.nan for value in values]


def _save(figure: Any, path: str | Path) -> None:
    known = sorted(figure.canvas.get_supported_filetypes())
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in known:
        raise UsageError(f"{path}: no picture has the suffix {Path(path).suffix!r}; known are .{', .'.join(known)}")
    figure.savefig(path)
