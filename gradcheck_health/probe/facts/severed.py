"""Do units that get no gradient move the output all the same? Then something cuts them off, and the second pass says what."""

from __future__ import annotations

import dataclasses

import torch

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.forward.dataflow import Dataflow
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.statistics.zero_rows import any_along
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.evidence import Cut
from gradcheck_health.records.severed import Severed
from gradcheck_health.records.trace import Trace

_STEP = 0.01
"""Of the rms of a weight, in noise."""
_STRAIGHT = 0.3
"""Twice the step moves the output twice as far, but for this share: what moves in jumps, or only curves, does not."""
_ROUNDING = 30.0
_BATCHES = 4
"""Further ones on which no gradient comes either."""


def severed(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with the units that move the output, at first order, and get a gradient of zeros on every batch."""
    model = unwrap(subject.model)
    tensors = {entry.name: entry.tensor for entry in named_parameters(model)}
    followed = {one.parameter: tensors[one.parameter] for one in trace.starved}
    axes = {one.parameter: one.axis for one in trace.starved}
    cuts: tuple[Cut, ...] = ()
    without = {name: torch.ones(tensor.shape[axes[name]], dtype=torch.bool) for name, tensor in followed.items()}
    for k in range(_BATCHES + 1):
        if not any(bool(units.any()) for units in without.values()):
            break
        with sandbox(subject.model):
            one = dataclasses.replace(subject, inputs=subject.inputs.another(subject.seed + k), seed=subject.seed + k)
            dataflow = None if k else Dataflow(followed)
            seen = probe(subject if k == 0 else one, dataflow=dataflow)
            cuts = cuts or seen.cuts
            for name, tensor in followed.items():
                if tensor.grad is not None:
                    without[name] &= ~any_along(tensor.grad, axes[name]).cpu()
    found = []
    for name, tensor in followed.items():
        reason = next((cut for cut in cuts if name in cut.parameters and cut.reaches_output and not cut.flat), None)
        units = without[name].to(tensor.device)
        if reason is not None and units.any() and _moves(subject, tensor, units, axes[name]):
            found.append(Severed(name, int(units.sum()), len(units), reason.op, reason.layer, reason.source))
    return (trace.only(severed=tuple(found)),)


def _moves(subject: Subject, weight: torch.Tensor, units: torch.Tensor, axis: int) -> bool:
    """Noise on these units moves the outputs of the objective, and twice the noise twice as far."""
    generator = torch.Generator().manual_seed(subject.seed)
    noise = torch.randn(weight.shape, generator=generator).to(weight)
    noise *= units.to(weight).view(*[1] * axis, -1, *[1] * (weight.dim() - axis - 1))
    noise *= _STEP * weight.detach().float().square().mean().sqrt().to(weight)
    still, again, once, twice = (_outputs(subject, weight, noise * factor) for factor in (0.0, 0.0, 1.0, 2.0))
    near, far = once - still, twice - still
    rounding = float((again - still).norm()) + torch.finfo(weight.dtype).eps * float(still.norm())
    moved = float(near.norm()) > _ROUNDING * rounding
    return moved and float((far - 2 * near).norm()) < _STRAIGHT * float(far.norm())


def _outputs(subject: Subject, weight: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    with sandbox(subject.model):
        with torch.no_grad():
            weight.add_(noise)
        with eager():
            output = call(subject.model, subject.inputs, subject.seed)
            goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
    roots = [torch.view_as_real(root) if root.is_complex() else root for root in goal.roots]
    return torch.cat([root.detach().double().flatten() for root in roots])
