"""A proof beside the measurement that it spares: of one module, both."""

from __future__ import annotations

import torch
from torch import nn

from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject, probe, take
from gradcheck_health.records.declarations import Declared
from gradcheck_health.records.inputs import Inputs
from tests.probe.samples.programs import SAMPLES


def of_samples(model: nn.Module, shape: tuple[int, ...]) -> tuple[bool, bool]:
    """Whether the samples are proven to be apart, and whether one is measured to move another."""
    subject = Subject(model, Inputs((noise(shape),), batch=SAMPLES))
    with sandbox(model):
        trace = probe(subject, prove=("apart",))
        measured = take("mixing", subject, trace)
    return trace.apart, any(one.influences for one in measured)


def of_steps(model: nn.Module, x: torch.Tensor) -> tuple[bool, bool]:
    """Whether it is proven to be causal, and whether a later step is measured to move an earlier one."""
    subject = Subject(model, Inputs((x,), batch=len(x)), declared=Declared(causal=True))
    with sandbox(model):
        trace = probe(subject, prove=("in order",))
        measured = take("future", subject, trace)
    return trace.in_order, any(one.influences for one in measured)


def noise(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))
