"""Do two identical passes give the same gradient? Same seed, same state, three samples."""

from __future__ import annotations

import ctypes
import dataclasses
import warnings
import zlib
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.call import call
from gradcheck_health.model.distributed.ranks import on_any_rank
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.nest import leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.dense import is_dense
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.experiments.first_difference import first_difference
from gradcheck_health.probe.experiments.subbatch import chosen
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.statistics.tensor_stats import measure, plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.evidence import Difference
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace

_Seen = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]
_SMALL, _FEW = 2**18, 8
"""Up to so many entries of layer outputs, or samples, one pass of a whole batch costs no more than two of three samples."""


def twice(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `differences`: of outputs, and of parameter gradients, where some bit differs."""
    if _as_before(subject, trace):
        return (trace.only(),)
    batch = subject.inputs.batch
    few = batch is not None and batch > 3 and not trace.flow_note
    try:
        inputs = chosen(subject.inputs, [0, 1, 2], subject.declared.batch_axis) if few else subject.inputs
        first, second = (_pass(subject, inputs) for _ in range(2))
    except (ModelError, RuntimeError):
        return (trace.only(gaps=("it does not run on three samples",)),)
    found = []
    for what, one, other in zip(("output", "gradient"), first, second, strict=True):
        apart = {name: _apart(one[name], other[name]) for name in one if name in other}
        differing = tuple(name for name, distance in apart.items() if distance > 0.0)
        if differing:
            found.append(Difference(what, differing, max(apart.values())))
    if on_any_rank(bool(found)):
        where = _explanation(subject, inputs)
        found = [dataclasses.replace(one, **where) for one in found[:1]]
    return (trace.only(differences=tuple(found)),)


def _as_before(subject: Subject, trace: Trace) -> bool:
    """One more pass gives what the first one left behind: the gradients bit by bit, the statistics of the outputs.

    The first one ran on another state where forward changes some: then two passes from the same state have to say.
    """
    model = unwrap(subject.model)
    before, held = _bits(model)
    size = sum(layer.output.numel for layer in trace.layers.values() if layer.output is not None)
    if on_any_rank(not before or (size > _SMALL and (subject.inputs.batch or 0) > _FEW)):
        return False
    for parameter in model.parameters():  # not held beside those of the second pass
        parameter.grad = None
    try:
        with sandbox(subject.model):
            returned = _run(subject, subject.inputs)
            after, others = _bits(model)
    except (ModelError, RuntimeError):
        return False
    alike = len(held) == len(others) and all(_apart(one, other) == 0.0 for one, other in zip(held, others, strict=True))
    same = before == after and alike
    outputs = {output.path: output.stats for output in trace.outputs if output.stats is not None}
    same = same and outputs == {path: measure(values, extremes=False) for path, values in returned.items()}
    return not on_any_rank(not same)


def _bits(model: nn.Module) -> tuple[int, list[torch.Tensor]]:
    """A number for the bits of all gradients, which others share once in four billion times; 0 where there is none.

    And those whose bits are not at hand: on other devices, sparse.
    """
    gradients = [p.grad for module in model.modules() for p in module._parameters.values() if p is not None]
    arrived = [gradient for gradient in gradients if gradient is not None]
    found, held = zlib.crc32(bytes(gradient is not None for gradient in gradients)), []
    for gradient in arrived:
        if is_dense(gradient) and gradient.is_contiguous():
            found = zlib.crc32((ctypes.c_char * gradient.nbytes).from_address(gradient.data_ptr()), found)
        else:
            held.append(gradient)
    return (found if arrived else 0), held


def _gradient(parameter: torch.Tensor) -> torch.Tensor | None:
    return None if parameter.grad is None else plain(parameter.grad)


def _pass(subject: Subject, inputs: Inputs) -> _Seen:
    with sandbox(subject.model):
        returned = _run(subject, inputs)
        gradients = {}
        for entry in named_parameters(unwrap(subject.model)):
            if (values := _gradient(entry.tensor)) is not None:
                gradients[entry.name] = values
        return returned, gradients


def _run(subject: Subject, inputs: Inputs) -> dict[str, torch.Tensor]:
    """Forward and backward; the outputs by their paths."""
    output = call(subject.model, inputs, subject.seed)
    returned = {leaf.path: values.clone() for leaf in leaves(output) if (values := plain(leaf.tensor)) is not None}
    backward(objective(output, loss=subject.loss, batch=inputs.batch, seed=subject.seed), subject.model)
    return returned


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """0 where every bit is the same; NaN is equal to NaN."""
    if a.shape != b.shape:
        return float("inf")
    if a.numel() == 0 or torch.equal(a, b) or torch.equal(a.nan_to_num(), b.nan_to_num()):
        return 0.0
    return float((a - b).abs().max() / a.abs().max().clamp(min=torch.finfo(a.dtype).tiny))


def _explanation(subject: Subject, inputs: Inputs) -> dict[str, Any]:
    """The operations that torch itself calls nondeterministic, or the first one whose result differs."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with sandbox(subject.model):
            torch.use_deterministic_algorithms(True, warn_only=True)
            backward(
                objective(call(subject.model, inputs, subject.seed), loss=subject.loss, batch=inputs.batch, seed=subject.seed),
                subject.model,
            )
    known = [
        str(one.message).partition(" does not have a deterministic")[0] for one in told if "deterministic" in str(one.message)
    ]
    if not on_any_rank(not known):
        return {"op": ", ".join(dict.fromkeys(known))[:200]}
    where = first_difference(subject, inputs, inputs, lambda tensor: tensor)
    kind = type(where.module).__name__ if where.module is not None else ""
    return {"layer": where.layer, "kind": kind, "op": where.op, "source": where.source}
