"""After three steps of training: does what was zero or missing wake up, and does the flow recover?"""

from __future__ import annotations

import dataclasses

import torch
from torch.nn.parameter import is_lazy

from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.sandbox import sandbox
from gradcheck_health.probe.subject import Subject
from gradcheck_health.trace import Trace

STEPS = 3
BATCHES = 8


def after_steps(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """Traces before each of three Adam steps (learning rate 1e-3), each on another batch, and one after them.

    While trainable parameters have had no gradient, or only zeros, up to four more batches follow, with every output projected:
    routing and stochastic depth need chances.
    """
    traces: list[Trace] = []
    with sandbox(subject.model):
        trainable = [p for p in subject.model.parameters() if p.requires_grad and not is_lazy(p)]
        optimizer = torch.optim.Adam(trainable, lr=1e-3) if trainable else None
        for k in range(BATCHES):
            if k > STEPS and not asleep((trace, *traces)):
                break
            traces.append(probe(_with_batch(subject, k + 1), every=k > STEPS))
            if k < STEPS and optimizer is not None:
                _densify(trainable)
                optimizer.step()
    return tuple(traces)


def asleep(traces: tuple[Trace, ...]) -> set[str]:
    """Trainable parameters that none of the traces saw a gradient other than zero in."""
    awake = {
        name
        for trace in traces
        for name, parameter in trace.parameters.items()
        if parameter.gradient is not None and not parameter.gradient.is_zero
    }
    return {name for name, parameter in traces[0].parameters.items() if parameter.trainable} - awake


def _with_batch(subject: Subject, k: int) -> Subject:
    return dataclasses.replace(subject, inputs=subject.inputs.another(subject.seed + k), seed=subject.seed + k)


def _densify(parameters: list[torch.nn.Parameter]) -> None:
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.layout != torch.strided:
            parameter.grad = parameter.grad.to_dense()  # Adam takes no sparse gradients
