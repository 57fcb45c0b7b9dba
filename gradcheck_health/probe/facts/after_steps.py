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
        optimizer = _Adam(trainable)
        for k in range(BATCHES):
            if k > STEPS and not asleep((trace, *traces)):
                break
            traces.append(probe(_with_batch(subject, k + 1), every=k > STEPS))
            if k < STEPS:
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


class _Adam:
    """Kingma and Ba 2015, written out: the first step of torch's own imports its compiler, which takes a second."""

    def __init__(self, parameters: list[torch.nn.Parameter], rate: float = 1e-3) -> None:
        self._parameters, self._rate, self._steps = parameters, rate, 0
        self._moments: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        self._steps += 1
        for i, parameter in enumerate(self._parameters):
            if parameter.grad is None:
                continue
            gradient = parameter.grad if parameter.grad.layout == torch.strided else parameter.grad.to_dense()
            values = parameter.data
            if values.is_complex():
                gradient, values = torch.view_as_real(gradient), torch.view_as_real(values)
            gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))  # squares vanish in half precision
            if i not in self._moments:
                self._moments[i] = torch.zeros_like(gradient), torch.zeros_like(gradient)
            mean, square = self._moments[i]
            mean.lerp_(gradient, 0.1)
            square.lerp_(gradient.square(), 0.001)
            scale = (square / (1 - 0.999**self._steps)).sqrt_().add_(1e-8)
            values.sub_((mean / scale).mul_(self._rate / (1 - 0.9**self._steps)).to(values.dtype))
