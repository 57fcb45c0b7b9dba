"""The gradient flows worse than in the baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.baseline.bounds import parse_all
from gradcheck_health.baseline.compare import compare
from gradcheck_health.baseline.profile_of import profile_of
from gradcheck_health.baseline.regressions import regressions
from gradcheck_health.records.change import Shift
from gradcheck_health.records.finding import Finding, Need
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn


def regressed_gradient(trace: Trace, *, fail_if: tuple[str, ...] = ()) -> Iterator[Finding | Need]:
    """The gradient flows worse than in the baseline: less of it arrives at a layer, or far more.

    What it does: compares the flow profile of the model with that of a baseline; without a baseline it does nothing.

    Why it is bad: a change that should have left the flow alone did not. It may still lie within the limits of
    the other rules, and the next change may start from there.

    How it is measured: per layer the decades log10(|dL/dh| / |dL/dh_head|) and their difference from one layer to the
    next, and the shares of dead units, of saturated units and of parameters that a gradient reaches; means over the
    seeds, layers paired by name, and where names moved by class and shape. A gradient that moved as one over the size
    of the layer's output is the same flow: in front of a normalisation both follow the scale of the weights. Zeros that
    the first steps wake (a branch that starts at zero) are no loss. A suspicion at one seed is examined again under
    others. The default tolerance is max(0.5 decade, 4 x seed spread), for a share max(5 points, 4 x seed spread), and
    fails on what is bad: a fall of the flow, a rise above a hundred times the head, more dead or saturated units, fewer
    parameters reached. fail_if replaces it by expressions such as "flow:-1dec", "flow@encoder.*:-0.3dec",
    "dead_fraction:+5pp", or "flow" for the default tolerance of one metric.

    When it is legitimate: a change of architecture moves the flow for good reasons. Then the baseline is out of date.

    How to fix: examine the place where it starts, and what is different there from the baseline.

    How to silence: gradhealth baseline update, or ignore={"regressed-gradient:encoder.*": "the reason"}.
    """
    if trace.reference is None:
        return
    bounds = parse_all(fail_if)
    at_first, _, _ = compare(trace.reference, profile_of(dataclasses.replace(trace, facts={})), bounds)
    if not any(shift.fails for shift in at_first):
        return
    # all seeds, whatever the first few say: a mean that is judged whenever it happens to pass is no mean
    if trace.facts.get("reseeded") != () and len(trace.facts.get("reseeded", ())) + 1 < trace.rounds:
        yield Need("reseeded", more=True)
        return
    if "after_steps" not in trace.facts and any(_starts_at_zero(trace, shift) for shift in at_first):
        yield Need("after_steps")
        return
    now = profile_of(trace)
    shifts, aligned, _ = compare(trace.reference, now, bounds)
    failing = [shift for shift in shifts if shift.fails]
    if not failing:
        return
    if "detailed" not in trace.facts:
        yield Need("detailed")
        return
    yield from regressions(trace, failing, aligned, now)


def _starts_at_zero(trace: Trace, shift: Shift) -> bool:
    """Nothing but zeros arrives any more, which the first steps may change."""
    layer = trace.layers.get(shift.name)
    gradient = None if layer is None else layer.output_gradient
    return shift.fails and shift.now is None and gradient is not None and gradient.is_zero


def before() -> nn.Module:
    """What the baseline of both examples is written for."""
    from torch import nn

    blocks: list[nn.Module] = []
    for _ in range(6):
        blocks += [nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU()]
    return nn.Sequential(*blocks, nn.Linear(32, 4))


def healthy() -> nn.Module:
    """Wider than the baseline, and with GELU: as much of the gradient arrives."""
    from torch import nn

    blocks: list[nn.Module] = []
    for _ in range(6):
        blocks += [nn.Linear(32, 32), nn.LayerNorm(32), nn.GELU()]
    return nn.Sequential(*blocks, nn.Linear(32, 8))


def sick() -> nn.Module:
    """The stack of the baseline, with one layer that squashes its values."""
    from torch import nn

    blocks: list[nn.Module] = []
    for _ in range(6):
        blocks += [nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU()]
    squashed = nn.LayerNorm(32)
    nn.init.constant_(squashed.weight, 0.02)
    blocks[7:9] = [squashed, nn.Sigmoid()]
    return nn.Sequential(*blocks, nn.Linear(32, 4))
