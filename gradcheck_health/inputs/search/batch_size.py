"""How many samples the probe gets: from the cost of the verified trial, counted from shapes, never timed."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gradcheck_health.inputs.plan import SIZES, Plan
from gradcheck_health.inputs.search.trial import Outcome

FLOPS = 2e9
"""What one forward pass may cost, multiply-adds times two."""
ELEMENTS = 2e7
"""Entries of all intermediate results together: 80 MB in float32."""


def batch_for(model: nn.Module, plan: Plan, outcome: Outcome) -> int:
    """64 with BatchNorm in training mode, 32 otherwise, less where that is too dear; BatchNorm keeps at least 8 if it can."""
    tried = max(plan.size("B"), 1)
    each = max(outcome.flops / tried / FLOPS, outcome.elements / tried / ELEMENTS, 1e-12)
    affordable = int(1 / each)
    if _normalises(model):
        # statistics over fewer samples say little about the gradient: pay up to four times the budget for 8
        return min(usual(model), max(affordable, 8)) if affordable >= 2 else 2
    return min(usual(model), max(affordable, 2))


def usual(model: nn.Module) -> int:
    """Samples of a batch that costs little."""
    return 64 if _normalises(model) else 32


def _normalises(model: nn.Module) -> bool:
    return any(isinstance(module, _BatchNorm) and module.training for module in model.modules())


STEPS = (24, 26, 22, 28, 20)
"""Steps of a sequence whose length nothing fixes: beyond the horizon of the rules on time, and of most kernels.

The first that is no size of a weight: an output with an axis of 24 features is not to be taken for one of 24 steps.
"""


def longer(model: nn.Module, plan: Plan, outcome: Outcome, batch: int) -> Plan | None:
    """The plan with more steps, where their number is free and they fit the budget with room to spare; None otherwise.

    Args:
        outcome: the trial of `plan`.
        batch: samples of the probe.
    """
    steps = plan.size("T")
    free = any("T" in leaf.dims and not leaf.fixed for _, leaf in plan.leaves())
    if not free or steps != SIZES["T"] or any(leaf.fixed and "T" in leaf.dims for _, leaf in plan.leaves()):
        return None
    sizes = {size for p in model.parameters() if not nn.parameter.is_lazy(p) for size in p.shape}
    more = next((count for count in STEPS if count not in sizes), STEPS[0])
    # attention grows with the square
    growth = batch / max(plan.size("B"), 1) * (more / steps) ** 2
    fits = outcome.flops * growth < 0.75 * FLOPS and outcome.elements * growth < 0.75 * ELEMENTS
    return plan.resize(T=more) if fits else None


def batched(plan: Plan) -> bool:
    """Some argument has the batch axis."""
    return any("B" in leaf.dims for _, leaf in plan.leaves())
