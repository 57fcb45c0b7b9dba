"""Lines through what the sizes showed: the depth scale with its limit, and the exponent of each layer in width."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradcheck_health.records.scale import FAR, DepthCheck, DepthFit, LayerSlope, SizePoint
from gradcheck_health.rules.analysis import depth_scale

_T975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Two-sided 95 % quantiles of Student's t for 1 to 10 degrees of freedom."""
LAW_NEEDS = 3
"""Depths before a power law can be told from an exponential."""
_UNSURE = 4.0
"""Twice a difference of log likelihoods: a law that is worse by less is not ruled out."""
_NOTHING = 1e-12
"""A sum of squares that is rounding."""
_SURE = 3.0
"""Standard errors that a slope has to be away from 0, and"""
_MOVES = 0.1
"""decades that the flow has to move over the fitted depths, before it is a slope at all."""


@dataclass(frozen=True, slots=True)
class Line:
    """y = intercept + slope x, by weighted least squares."""

    intercept: float
    slope: float
    error: float
    """Standard error of the slope; infinite where two observations are all there is."""
    residual: float
    """Weighted sum of squares that is left."""
    freedom: int
    centre: float
    """The weighted mean of x, where slope and height are independent."""
    wobble: float
    """Standard error of the height there."""

    def at(self, x: float) -> float:
        return self.intercept + self.slope * x


def line(points: Sequence[tuple[float, float, float]]) -> Line:
    """Through (x, y, weight); at least two different x."""
    total = sum(w for _, _, w in points)
    centre = sum(w * x for x, _, w in points) / total
    height = sum(w * y for _, y, w in points) / total
    spread = sum(w * (x - centre) ** 2 for x, _, w in points)
    slope = sum(w * (x - centre) * (y - height) for x, y, w in points) / spread
    left = sum(w * (y - height - slope * (x - centre)) ** 2 for x, y, w in points)
    freedom = len(points) - 2
    error = math.sqrt(left / freedom / spread) if freedom > 0 else math.inf
    wobble = math.sqrt(left / freedom / total) if freedom > 0 else math.inf
    return Line(height - slope * centre, slope, error, left, freedom, centre, wobble)


def quantile(freedom: int) -> float:
    """Of Student's t, two-sided 95 %."""
    return _T975[freedom - 1] if 0 < freedom <= len(_T975) else 1.96 + 2.5 / freedom if freedom > 0 else math.inf


def depth_fit(points: Sequence[SizePoint]) -> DepthFit | None:
    """The law of the flow over depth, with the depth at which it reaches its bound; None below two depths.

    The logarithm of the ratio is a sum over layers, so its variance over seeds grows with depth: observations weigh 1 / depth.
    The interval is that of both laws together where the sizes do not rule one out.
    """
    seen = [
        (point.depth, math.log10(ratio), 1.0 / point.depth)
        for point in points
        if point.depth
        for ratio in point.ratios
        if ratio > 0.0 and math.isfinite(ratio)
    ]
    depths = tuple(sorted({depth for depth, _, _ in seen}))
    if len(depths) < 2:
        return None
    lines = {"exponential": line(seen)}
    if len(depths) >= LAW_NEEDS:
        lines["power"] = line([(math.log10(x), y, w) for x, y, w in seen])
    law = min(lines, key=lambda one: lines[one].residual)
    found, straight = lines[law], lines["exponential"]
    span = math.log10(depths[-1] / depths[0]) if law == "power" else depths[-1] - depths[0]
    if abs(found.slope) * span < _MOVES or (found.freedom > 0 and abs(found.slope) < _SURE * found.error):
        return DepthFit("none", straight.intercept, straight.slope, straight.error, depths)
    sized = [point for point in sorted(points, key=lambda one: one.depth or 0) if point.depth in depths]
    fits = {
        one: _with_limit(DepthFit(one, fit.intercept, fit.slope, fit.error, depths), fit, sized) for one, fit in lines.items()
    }
    least = max(found.residual, _NOTHING)
    likely = [fits[one] for one in lines if len(seen) * math.log(max(lines[one].residual, _NOTHING) / least) < _UNSURE]
    lows, highs = [one.low for one in likely], [one.high for one in likely]
    low = None if None in lows else min(one for one in lows if one is not None)
    high = None if None in highs else max(one for one in highs if one is not None)
    return dataclasses.replace(fits[law], low=low, high=high)


def checked(fit: DepthFit, point: SizePoint) -> DepthFit:
    """The fit with what was measured at a depth that was not fitted."""
    seen = [math.log10(ratio) for ratio in point.ratios if ratio > 0.0 and math.isfinite(ratio)]
    if not seen or not point.depth:
        return fit
    measured, said = sum(seen) / len(seen), depth_scale.predicted(fit, point.depth)
    # the depth at which the fit reaches what was measured, beside the depth that it was measured at
    if fit.law == "power":
        off = 10 ** min((measured - said) / fit.slope, 12.0) - 1.0
    else:
        off = (measured - said) / fit.slope / point.depth
    return dataclasses.replace(fit, check=DepthCheck(point.depth, said, measured, off))


def to_check(fit: DepthFit) -> int | None:
    """A depth that was not fitted, at the limit where that is near; None where nothing is predicted."""
    if fit.law == "none":
        return None
    most = 2 * fit.depths[-1]
    depth = max(fit.depths[0] + 1, most if fit.deepest is None else min(most, round(fit.deepest)))
    while depth in fit.depths:
        depth += 1
    return depth


def _with_limit(fit: DepthFit, found: Line, points: Sequence[SizePoint]) -> DepthFit:
    """Where the line meets the bound; the bound of growth moves with the batch norms of a size."""
    shrinks = fit.slope < 0
    bounds = [math.log10(point.lowest if shrinks else point.highest) for point in points]
    pairs = zip(points, points[1:], bounds, bounds[1:], strict=False)
    rises = [(b - a) / (one.depth - zero.depth) for zero, one, a, b in pairs if one.depth and zero.depth]
    rise = 0.0 if shrinks or fit.law == "power" else max(0.0, min(rises, default=0.0))
    last = points[-1].depth or 1
    ends = crossings(found, bounds[-1] - rise * last, rise)
    low, deepest, high = (None if x is None else _depth(x, fit.law) for x in ends)
    bound = 10 ** bounds[-1]
    rule = "vanishing-gradient" if shrinks else "exploding-gradient"
    return dataclasses.replace(fit, bound=bound, rule=rule, deepest=deepest, low=low, high=high)


def crossings(found: Line, goal: float, rise: float = 0.0) -> tuple[float | None, float | None, float | None]:
    """Where the line meets goal + rise x: the lower end, the middle and the upper end of Fieller's 95 % interval.

    Height at the centre and slope are independent there: (height + slope u)^2 = t^2 (error of height^2 + error of slope^2 u^2)
    is a quadratic in u. Where the slope cannot be told from `rise` at this level, there is no upper end.
    """
    slope = found.slope - rise
    height = found.at(found.centre) - goal - rise * found.centre
    if slope == 0.0:
        return None, None, None
    middle = found.centre - height / slope
    t = quantile(found.freedom)
    a = slope**2 - (t * found.error) ** 2 if math.isfinite(t) else -1.0
    if a <= 0.0:
        return None, middle, None
    root = math.sqrt(max((height * slope) ** 2 - a * (height**2 - (t * found.wobble) ** 2), 0.0))
    return found.centre + (-height * slope - root) / a, middle, found.centre + (-height * slope + root) / a


def _depth(x: float, law: str) -> float | None:
    """In layers; None beyond `FAR`, and where the line leads away from its bound."""
    depth = 10 ** min(x, 12.0) if law == "power" else x
    return max(depth, 1.0) if 0.0 < depth <= FAR else None


def layer_slopes(points: Sequence[SizePoint], kinds: Mapping[str, str]) -> tuple[LayerSlope, ...]:
    """The exponent in width of how far each layer's output moves; the steepest first.

    The mean over the seeds of a width is one observation: draws of one width share what is special about it.
    """
    widths = [point for point in points if point.width and point.changes]
    found = []
    for layer in widths[0].changes if len({point.width for point in widths}) > 1 else ():
        seen = []
        for point in widths:
            moved = [math.log10(value) for value in point.changes.get(layer, ()) if value > 0.0 and math.isfinite(value)]
            if moved and point.width:
                seen.append((math.log10(point.width), sum(moved) / len(moved), 1.0))
        if len(seen) == len(widths):
            one = line(seen)
            found.append(LayerSlope(layer, kinds.get(layer, ""), one.slope, one.error))
    return tuple(sorted(found, key=lambda one: -abs(one.slope)))
