"""The gradient grows on its way back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow, flow_wording

if TYPE_CHECKING:
    from torch import nn

LIMIT = 10**4.3
WITH_GROWTH = 1e3
"""The limit where the forward signal grows more than tenfold over the same stretch: then the weights are too large."""


def exploding_gradient(
    trace: Trace, *, max_ratio: float | None = None, max_relative: float | None = None
) -> Iterator[Finding | Need]:
    """The gradient grows on its way from the output to the first layer until a step destroys what was learnt.

    What it does: compares the norm of the gradient that arrives at the first layer with the norm at the output.

    Why it is bad: one learning rate cannot serve layers whose gradients differ by powers of ten; the loss jumps or
    becomes NaN.

    How it is measured: the ratio |dL/dh_first| / |dL/dh_last| over the tensors that every gradient path crosses,
    above max_ratio at the given weights, at slightly perturbed ones and after three optimizer steps, and by a
    one-sided 99 % bound over seeds. Default 2e4, times 1.21 for each batch norm on the way (scale-invariant weights
    train in spite of that growth), and 1e3 where the forward signal grows more than tenfold over the same stretch.
    Sound networks reach 5e3 (refinement loops that are trained with clipping). Optional: max_relative, the largest
    |gradient| / (sqrt(batch) |weight|) of a weight matrix under your own loss= (a step of lr x that moves the weight
    by as much: beyond 0.5 training fails).

    When it is legitimate: long refinement loops and recurrences that are always trained with gradient clipping.

    How to fix: smaller initialisation (He: variance 2 / fan_in), normalisation, residual branches scaled by 1 /
    sqrt(depth), gradient clipping, a mean instead of a sum in the loss.

    How to silence: ignore={"exploding-gradient": "the reason"}, or max_ratio= for the bound that you want.
    """
    yield from _relative(trace, max_relative)
    given = flow.ratio(trace)
    if given is None:
        return
    limit = flow_limit(trace, max_ratio=max_ratio)
    if given <= limit:
        return
    for fact in ("kicked", "after_steps"):
        if fact not in trace.facts:
            yield Need(fact)
            return
        if min(flow.fact_ratios(trace)) <= limit:
            return
    if flow.undecided(trace, limit):
        yield Need("reseeded", more=True)
        return
    if flow.confirmed(trace, limit, growing=True):
        if "detailed" not in trace.facts:
            yield Need("detailed")
            return
        seen = trace.closest
        yield Finding(
            rule="exploding-gradient",
            severity=Severity.ERROR,
            message=(
                f"the gradient grows {given:.2g} x from {flow_wording.end_name(seen, seen.flow[-1])} "
                f"to {flow_wording.end_name(seen, seen.flow[0])} (at most {limit:.2g} allowed)"
            ),
            places=flow_wording.flow_places(seen, seen.flow, growing=True),
            details=flow_wording.flow_details(trace, seen, seen.flow, limit, growing=True),
            got=given,
            bound=limit,
            cause=flow_wording.cause(seen, seen.flow, growing=True),
        )


def flow_limit(trace: Trace, *, max_ratio: float | None = None, max_relative: float | None = None) -> float:
    """The largest ratio that passes, for pictures."""
    if max_ratio is not None:
        return max_ratio
    growth = [point.output for point in trace.flow if point.output]
    limit = WITH_GROWTH if len(growth) > 1 and growth[-1] > 10 * growth[0] else LIMIT
    return limit * flow.BATCH_NORM_GAIN ** flow.batch_norms(trace.flow)


def _relative(trace: Trace, allowed: float | None) -> Iterator[Finding]:
    if allowed is None or trace.objective == "random projection":
        return
    found = []
    for p in trace.parameters.values():
        if p.role == "weight" and p.gradient is not None and p.gradient.finite and p.value.norm:
            found.append((p.gradient.norm / (math.sqrt(trace.inputs.batch or 1) * p.value.norm), p))
    found = sorted((pair for pair in found if pair[0] > allowed), key=lambda pair: -pair[0])
    if found:
        yield Finding(
            rule="exploding-gradient",
            severity=Severity.ERROR,
            message=f"{len(found)} weights have gradients up to {found[0][0]:.2g} x their size (at most {allowed:.2g} allowed)",
            places=tuple(Place(p.name, p.kind, p.source, f"{value:.2g} x") for value, p in found),
            details=(("help", "use a mean in the loss, scale the targets, or clip the gradient norm"),),
            got=found[0][0],
            bound=allowed,
        )


def healthy() -> nn.Module:
    from torch import nn

    blocks: list[nn.Module] = []
    for _ in range(12):
        blocks += [nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU()]
    return nn.Sequential(*blocks, nn.Linear(32, 4))


def sick() -> nn.Module:
    import torch
    from torch import nn

    blocks: list[nn.Module] = []
    for _ in range(12):
        blocks += [nn.Linear(32, 32), nn.ReLU()]
    model = nn.Sequential(*blocks, nn.Linear(32, 4))
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(0, 1)
    return model
