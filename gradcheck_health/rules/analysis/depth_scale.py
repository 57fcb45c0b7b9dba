"""How the flow changes with depth: what the fit says, in numbers and in words."""

from __future__ import annotations

import math

from gradcheck_health.records.scale import FAR, DepthFit


def predicted(fit: DepthFit, depth: float) -> float:
    """The logarithm of the ratio that the fit says for a depth."""
    return fit.intercept + fit.slope * (math.log10(max(depth, 1.0)) if fit.law == "power" else depth)


def rate(fit: DepthFit) -> str:
    """`half of the gradient is lost every 1.2 layers (-0.258 +- 0.006 decades a layer)`."""
    about = f" +- {fit.error:.1g}" if math.isfinite(fit.error) else ""
    if fit.law == "none" or not fit.slope:
        return f"no change with depth that can be told from none ({fit.slope:.2g}{about} decades a layer)"
    if fit.law == "power":
        return f"the gradient goes with the depth to the power {fit.slope:.2g}{about}"
    what = "half of the gradient is lost" if fit.slope < 0 else "the gradient doubles"
    return f"{what} every {math.log10(2) / abs(fit.slope):.2g} layers ({fit.slope:.3g}{about} decades a layer)"


def limit(fit: DepthFit) -> str:
    """`14.6 layers (95 %: 14.1 to 15.1), where it is below 7.9e-05 (vanishing-gradient)`."""
    if fit.law == "none":
        return "none: what was measured predicts no depth at which it is lost"
    if fit.deepest is None:
        return f"none below {FAR} layers"
    low = "1" if fit.low is None else f"{fit.low:.3g}"
    high = f"more than {FAR}" if fit.high is None else f"{fit.high:.3g}"
    beyond = "falls below" if fit.slope < 0 else "rises above"
    return f"{fit.deepest:.3g} layers (95 %: {low} to {high}), where it {beyond} {fit.bound:.2g} ({fit.rule})"


def check(fit: DepthFit) -> str:
    """`depth 15, which was not fitted: predicted 6.3e-05, measured 8.4e-05, 3 % off in depth`; "" where nothing was checked."""
    if fit.check is None:
        return ""
    one = fit.check
    said, seen = (10.0 ** min(max(value, -300.0), 300.0) for value in (one.predicted, one.measured))
    return (
        f"depth {one.depth}, which was not fitted: predicted {said:.2g}, measured {seen:.2g}, {abs(one.off):.0%} off in depth"
    ).replace("%", " %")
