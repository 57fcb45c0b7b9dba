"""The same weights and batch in float64: a true zero shrinks a billionfold, a vanished gradient does not move."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.experiments.subbatch import on_few
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace

SAMPLES = 8


def float64(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace in double precision, on the first few samples: what a zero is does not depend on how many there are."""
    if subject.loss is not None:  # its targets may belong to the whole batch
        return _wide(subject)
    return on_few(_wide, subject, SAMPLES)


def _wide(subject: Subject) -> tuple[Trace, ...]:
    with sandbox(subject.model):
        torch.set_default_dtype(torch.float64)
        subject.model.double()
        inputs = Inputs(
            tuple(_double(value) for value in subject.inputs.args),
            {name: _double(value) for name, value in subject.inputs.kwargs.items()},
            subject.inputs.origin,
            subject.inputs.made_up,
            subject.inputs.batch,
        )
        return (probe(dataclasses.replace(subject, inputs=inputs)),)


def _double(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        wide = torch.complex128 if value.is_complex() else torch.float64
        return value.to(wide) if value.is_floating_point() or value.is_complex() else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_double(item) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(_double(item) for item in value)
    if isinstance(value, dict):
        return {key: _double(item) for key, item in value.items()}
    return value
