"""What one forward and one backward pass cost: operations, seconds, and bytes that are held until backward has ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.subject import Subject

TRIES = 2
"""Of the time; the faster counts."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one size."""

    parameters: int
    flops: int
    """Of products, convolutions and attention, as torch counts them; a multiplication with its addition is two."""
    seconds: float
    memory: int
    """Bytes of parameters, gradients, buffers and what autograd saves in forward."""


def cost(subject: Subject) -> Cost:
    """Measured on the subject's batch; the model comes back as it was."""
    from torch.utils.flop_counter import FlopCounterMode

    with sandbox(subject.model), eager():
        saved = _Saved()
        with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(saved.keep, saved.give_back):
            _passes(subject)
        seconds = min(_timed(subject) for _ in range(TRIES))
    own = [p for p in subject.model.parameters() if not is_lazy(p)]
    held = [*own, *(p for p in own if p.requires_grad), *subject.model.buffers()]
    memory = sum(tensor.numel() * tensor.element_size() for tensor in held) + saved.bytes_beside(own)
    return Cost(sum(p.numel() for p in own), int(counter.get_total_flops()), seconds, memory)


class _Saved:
    """The storages that forward keeps for backward, each once."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            self.sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    def give_back(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def bytes_beside(self, parameters: list[nn.Parameter]) -> int:
        """Without the weights themselves."""
        known = {p.untyped_storage().data_ptr() for p in parameters if p.layout is torch.strided}
        return sum(size for place, size in self.sizes.items() if place not in known)


def _timed(subject: Subject) -> float:
    start = time.perf_counter()
    _passes(subject)
    _wait()
    return time.perf_counter() - start


def _passes(subject: Subject) -> Any:
    for parameter in subject.model.parameters():
        parameter.grad = None
    output = call(subject.model, subject.inputs, subject.seed)
    goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
    backward(goal, subject.model)


def _wait() -> None:
    """Until an accelerator has done what it was given."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
