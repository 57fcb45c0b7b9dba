"""Are the ranks together? Each takes a batch of its own; their values, and their gradients before and after, are compared."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.call import call, drew, eager
from gradcheck_health.model.distributed.exchange import Ranks
from gradcheck_health.model.distributed.groups import Scheme, scheme, shard_key
from gradcheck_health.model.distributed.ranks import current
from gradcheck_health.model.distributed.shards import local, whole_parameters
from gradcheck_health.model.names import NamedParameter, named_parameters
from gradcheck_health.model.nest import leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.tree import named_modules
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.experiments.rank_copies import copies_apart, waves
from gradcheck_health.probe.experiments.rank_rows import NOTHING, Row, compared
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.statistics.over_ranks import from_all_ranks
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.ranks import Disagreement, RanksTrace
from gradcheck_health.records.trace import Trace


def ranks(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with what was compared; none of a check by one process."""
    together = current()
    if together is None:
        return ()
    around = subject.model if subject.around is None else subject.around
    plan = scheme(around, together.rank, together.size)
    named = [entry for entry in named_parameters(unwrap(subject.model)) if entry.name in trace.parameters]
    buffers = _buffers(subject.model)
    inputs = _own(subject, plan)
    said = together.exchange("the ranks beside one another", _said(subject, plan, inputs, together, named))
    known = RanksTrace(
        size=together.size,
        scheme=plan.name,
        tolerates_unused=plan.tolerates_unused,
        unsynchronised=any(one["unsynchronised"] for one in said),
        same_batch=not inputs.made_up and len({one["batch"] for one in said}) == 1,
        same_seed=subject.rebuild is None and len({one["seed"] for one in said}) == 1 and all(one["draws"] for one in said),
    )
    if len({one["names"] for one in said}) > 1:
        return (trace.only(parallel=RanksTrace(together.size, plan.name, failure="the ranks hold different parameters")),)
    apart = copies_apart(_tensors(named, buffers))
    names = [entry.name for entry in named] + [name for name, _ in buffers]
    kinds = ["parameter"] * len(named) + ["buffer"] * len(buffers)
    moved = _moved(subject, buffers)
    disagreements = [
        Disagreement(name, kind, *found, kept_by_forward=name in moved)
        for name, kind, found in zip(names, kinds, apart, strict=True)
        if found is not None
    ]
    if any(one.what == "parameter" for one in disagreements):  # projections along different values say nothing
        others = tuple(one for one in disagreements if not one.kept_by_forward)
        return (trace.only(parallel=_with(known, disagreements=others, failure="the parameters differ")),)
    before, after, failure = _passes(subject, around, plan, inputs, named, trace)
    if not before:
        return (trace.only(parallel=_with(known, disagreements=tuple(disagreements), failure=failure)),)
    seen = compared(
        [entry.name for entry in named], before, after, together.size, plan.averages and plan.places == together.size
    )
    disagreements += [] if known.unsynchronised else seen.disagreements
    reductions, uneven = ((), ()) if known.unsynchronised else (seen.reductions, seen.uneven)
    found = _with(known, disagreements=tuple(disagreements), reductions=reductions, uneven=uneven, failure=failure)
    return (trace.only(parallel=found),)


def _with(known: RanksTrace, **fields: Any) -> RanksTrace:
    return dataclasses.replace(known, **fields)


def _own(subject: Subject, plan: Scheme) -> Inputs:
    """The batch of this rank: another one for each place, where batches are made up; the given one otherwise."""
    return subject.inputs.another(subject.seed + 1 + plan.place) if subject.inputs.made_up else subject.inputs


def _said(subject: Subject, plan: Scheme, inputs: Inputs, together: Ranks, named: Sequence[NamedParameter]) -> dict[str, Any]:
    tensors = [leaf.tensor for leaf in leaves((inputs.args, dict(inputs.kwargs)))]
    shown = [[list(one.shape), float(local(one).detach().double().sum())] for one in tensors if not one.is_complex()]
    with sandbox(subject.model):
        call(subject.model, subject.inputs, subject.seed)
        draws = drew(subject.seed)
    return {
        "names": zlib.crc32(repr([(entry.name, tuple(entry.tensor.shape)) for entry in named]).encode()),
        "batch": repr(shown),
        "seed": together.generator,
        "draws": draws,
        "unsynchronised": plan.unsynchronised,
    }


def _tensors(named: Sequence[NamedParameter], buffers: Sequence[tuple[str, torch.Tensor]]) -> list[torch.Tensor]:
    return [entry.tensor for entry in named] + [one for _, one in buffers]


def _buffers(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [
        (f"{path}.{key}" if path else key, one)
        for path, module in named_modules(unwrap(model))
        for key, one in module._buffers.items()
        if one is not None and one.is_floating_point()
    ]


def _moved(subject: Subject, buffers: Sequence[tuple[str, torch.Tensor]]) -> set[str]:
    """The buffers that forward writes to."""
    with sandbox(subject.model):
        before = {name: one.detach().clone() for name, one in buffers}
        call(subject.model, subject.inputs, subject.seed)
        now = dict(_buffers(subject.model))
        return {name for name, one in before.items() if name not in now or not torch.equal(one, now[name])}


def _passes(
    subject: Subject, around: nn.Module, plan: Scheme, inputs: Inputs, named: Sequence[NamedParameter], trace: Trace
) -> tuple[Sequence[Sequence[Row]], Sequence[Sequence[Row]], str]:
    """(rows before, rows after, why there are none after); each per rank: [a gradient came, its projection, its norm]."""
    scales = {entry.name: trace.parameters[entry.name].value.rms or 1.0 for entry in named}
    apart = plan.name in ("DistributedDataParallel", "replicas")
    own: Mapping[str, Row] = {}
    with sandbox(around):
        if apart:  # the module inside, whose backward brings nothing together
            _backward(subject.model, subject, inputs, apart=True)
            own = {entry.name: _gradient(entry.tensor, entry.tensor.grad, scales[entry.name]) for entry in named}
        else:
            own = _observed(around, subject, inputs, named, scales)
        after = _after(named, scales)
    before = from_all_ranks([list(own.get(entry.name, (NOTHING, 0.0, 0.0))) for entry in named])
    if not apart:
        return before, from_all_ranks(after), ""
    if not plan.averages:
        return before, [], ""
    some_without = any(row[i][0] == NOTHING for i, entry in enumerate(named) if entry.tensor.requires_grad for row in before)
    if some_without and not plan.tolerates_unused:
        return before, [], "a parameter without a gradient would stop DistributedDataParallel for good"
    with sandbox(around):
        _backward(around, subject, inputs)
        after = _after(named, scales)
    return before, from_all_ranks(after), ""


def _after(named: Sequence[NamedParameter], scales: Mapping[str, float]) -> list[Row]:
    """[which part lies here, a gradient is there, its projection, its norm]."""
    return [
        [float(shard_key(entry.tensor)), *_gradient(entry.tensor, entry.tensor.grad, scales[entry.name])] for entry in named
    ]


def _observed(
    model: nn.Module, subject: Subject, inputs: Inputs, named: Sequence[NamedParameter], scales: Mapping[str, float]
) -> dict[str, Row]:
    """One backward pass; the gradients as they arrive, before they are brought together: tensor hooks on what stands in."""
    own: dict[str, Row] = {}
    whole = whole_parameters(model)

    def hook(name: str, leaf: torch.Tensor) -> Any:
        def note(gradient: torch.Tensor) -> None:
            own[name] = _gradient(leaf, gradient, scales[name])

        return note

    leaves_of = [(entry.name, whole[id(entry.tensor)]) for entry in named if id(entry.tensor) in whole]
    handles = [leaf.register_hook(hook(name, leaf)) for name, leaf in leaves_of if leaf.requires_grad]  # type: ignore[no-untyped-call]
    try:
        _backward(model, subject, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return own


def _backward(model: nn.Module, subject: Subject, inputs: Inputs, *, apart: bool = False) -> None:
    with eager():
        output = call(model, inputs, subject.seed, apart=apart)
        goal = objective(output, loss=subject.loss, batch=inputs.batch, seed=subject.seed)
    backward(goal, unwrap(subject.model))


def _gradient(weight: torch.Tensor, gradient: torch.Tensor | None, scale: float) -> Row:
    """[it is there, its projection, its norm], of the part that lies here."""
    if gradient is None:
        return [NOTHING, 0.0, 0.0]
    values = local(gradient if gradient.layout == torch.strided else gradient.to_dense()).detach()
    values = (torch.view_as_real(values) if values.is_complex() else values).float().flatten()
    if not values.numel():
        return [0.0, 0.0, 0.0]
    own = local(weight).detach()
    direction = waves(torch.view_as_real(own) if own.is_complex() else own, scale)
    norm = float(torch.linalg.vector_norm(values, dtype=torch.float64))
    return [1.0, float(torch.dot(values, direction)), norm if math.isfinite(norm) else 0.0]
