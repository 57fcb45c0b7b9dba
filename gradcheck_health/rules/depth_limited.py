"""Depths at which the gradient is predicted to be lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import depth_scale

if TYPE_CHECKING:
    from gradcheck_health.records.scale import Sweep

_FAILED = 0.5
"""A prediction that missed by more than this share of the depth predicts nothing."""


def depth_limited(trace: Trace, *, min_reach: float = 2.0) -> Iterator[Finding]:
    """The gradient shrinks or grows with depth, and a model not much deeper than those of the sweep cannot learn.

    What it does: fits the flow of a sweep (gradhealth scale, check_scale) over depth, and predicts the depth at which it passes
    the bound of vanishing-gradient or exploding-gradient. Fires where that depth, with the whole of its 95 % interval, is
    less than min_reach times the deepest size of the sweep.

    Why it is bad: each layer costs a fixed share of the gradient, so the first layers of a deeper model do not learn at all,
    which small models of the same design do not show.

    How it is measured: the logarithm of the ratio |dL/dh_first| / |dL/dh_last| over several seeds and depths, by least squares
    with the weight 1 / depth, since its variance grows with depth. An exponential or a power law, whichever leaves less; only a
    slope of more than three standard errors counts. The prediction is checked at a depth that was not fitted: where it misses
    by half of the depth, nothing is reported.

    When it is legitimate: the model will never be deeper than it is now.

    How to fix: skip connections, normalisation, an initialisation that keeps the norm (He for ReLU), residual branches
    scaled by 1 / sqrt(depth).

    How to silence: ignore={"depth-limited": "the reason"}, or min_reach=1 for the depths of the sweep alone.
    """
    fit = None if trace.scale is None else trace.scale.fit
    if trace.scale is None or fit is None or fit.deepest is None or fit.high is None:
        return
    bound = min_reach * fit.depths[-1]
    if fit.high >= bound or (fit.check is not None and abs(fit.check.off) > _FAILED):
        return
    what = "shrinks" if fit.slope < 0 else "grows"
    yield Finding(
        rule="depth-limited",
        severity=Severity.WARNING,
        message=(
            f"the gradient {what} with depth, and passes the bound at {fit.deepest:.3g} layers "
            f"(at least {bound:.3g} allowed, {min_reach:g} times the deepest of the sweep)"
        ),
        places=(Place("", note=f"{trace.scale.depth_name} {', '.join(map(str, fit.depths))}"),),
        details=(
            ("because", depth_scale.rate(fit)),
            ("limit", depth_scale.limit(fit)),
            *((("checked", said),) if (said := depth_scale.check(fit)) else ()),
            ("help", "skip connections, normalisation, He initialisation, branches scaled by 1 / sqrt(depth)"),
        ),
        got=fit.deepest,
        bound=bound,
    )


def healthy() -> Sweep:
    from torch import nn

    from gradcheck_health.records.scale import Sweep

    def build(depth: int) -> nn.Module:
        blocks: list[nn.Module] = []
        for _ in range(depth):
            blocks += [nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU()]
        return nn.Sequential(*blocks, nn.Linear(32, 4))

    return Sweep(build, depth=(2, 4, 8))


def sick() -> Sweep:
    from torch import nn

    from gradcheck_health.records.scale import Sweep

    def build(depth: int) -> nn.Module:
        blocks: list[nn.Module] = []
        for _ in range(depth):
            blocks += [nn.Linear(32, 32), nn.Tanh()]
        return nn.Sequential(*blocks, nn.Linear(32, 4))

    return Sweep(build, depth=(4, 8, 12))
