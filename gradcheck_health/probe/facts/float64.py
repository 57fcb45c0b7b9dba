"""The same weights and batch in float64: a true zero shrinks a billionfold, a vanished gradient does not move."""

from __future__ import annotations

import dataclasses

import torch

from gradcheck_health.model.distributed.shards import to_float64
from gradcheck_health.model.nest import map_tensors
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.default_dtype import use_default_dtype
from gradcheck_health.probe.experiments.subbatch import judged_on_few
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace

SAMPLES = 8


def float64(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace in double precision, on the first few samples: what a zero is does not depend on how many there are."""
    return judged_on_few(_wide, subject, SAMPLES)


def _wide(subject: Subject) -> tuple[Trace, ...]:
    with sandbox(subject.model):
        use_default_dtype(torch.float64)
        to_float64(subject.model)
        inputs = Inputs(
            map_tensors(subject.inputs.args, _double),
            map_tensors(dict(subject.inputs.kwargs), _double),
            subject.inputs.origin,
            subject.inputs.made_up,
            subject.inputs.batch,
        )
        return (probe(dataclasses.replace(subject, inputs=inputs)),)


def _double(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.to(torch.float64) if tensor.is_floating_point() else tensor
