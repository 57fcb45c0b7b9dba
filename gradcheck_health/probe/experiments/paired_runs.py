"""Forward passes on pairs of batches that differ in a part: what moves, how far, and which operation moves it first.

Everything runs in eval mode under one seed, so that what does not depend on the part that changed comes out the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.call import call
from gradcheck_health.model.names import layer_names
from gradcheck_health.model.nest import leaves, map_tensors
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.statistics.tensor_stats import plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.inputs import Inputs

Part = Callable[[torch.Tensor], "torch.Tensor | None"]
"""The part of a tensor inside the network that belongs to what was kept; None where that cannot be told."""
ROUNDING = 64
"""Movements below so many units of rounding are none."""


def changed(inputs: Inputs, change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
    """The same arguments with every tensor in them changed."""
    return replace(inputs, args=map_tensors(inputs.args, change), kwargs=map_tensors(dict(inputs.kwargs), change))


def outputs(subject: Subject, inputs: Inputs) -> dict[str, torch.Tensor]:
    """The floating output leaves by their paths. Call it in a sandbox, with the model in eval mode."""
    found = {}
    for leaf in leaves(call(subject.model, inputs, subject.seed)):
        values = plain(leaf.tensor)
        if values is not None:
            found[leaf.path] = values
    return found


@contextlib.contextmanager
def evaluated(subject: Subject) -> Iterator[None]:
    """A sandbox with the model in eval mode."""
    with sandbox(subject.model):
        modes = [(module, module.training) for module in subject.model.modules()]
        subject.model.eval()
        try:
            yield
        finally:
            for module, mode in modes:  # a scripted module keeps its mode where the sandbox does not reach
                if module.training != mode:
                    module.training = mode


def outputs_in_sandbox(subject: Subject, inputs: Inputs) -> dict[str, torch.Tensor]:
    """The outputs of a model that has seen nothing before: states that it carries from call to call are no dependence."""
    with evaluated(subject):
        return outputs(subject, inputs)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """rms of the difference; 0 where it is rounding, NaN where one of them is not finite."""
    if a.shape != b.shape or a.numel() == 0:
        return float("nan")
    wide_a, wide_b = a.double(), b.double()
    apart = float((wide_a - wide_b).square().mean().sqrt())
    largest = max(float(wide_a.abs().max()), float(wide_b.abs().max()))
    return 0.0 if apart <= ROUNDING * torch.finfo(a.dtype).eps * largest else apart


def share(other: float, own: float) -> float:
    """Movement for the sake of others over movement for its own sake, at most 1."""
    return 0.0 if other == 0.0 else min(1.0, other / own) if own > 0.0 else 1.0


def nudged(subject: Subject, inputs: Inputs, mask: Part) -> dict[str, torch.Tensor]:
    """The outputs under a small noise on floating inputs and embedded tokens, where `mask` is 1."""
    generator = torch.Generator().manual_seed(1)

    def nudge(tensor: torch.Tensor) -> torch.Tensor:
        weight = mask(tensor) if tensor.is_floating_point() else None
        if weight is None:
            return tensor
        size = min(0.05, 30 * torch.finfo(tensor.dtype).eps ** 0.5) * tensor.detach().double().square().mean().sqrt()
        noise = torch.randn(tensor.shape, generator=generator).to(tensor.device, torch.float64)
        nudged: torch.Tensor = tensor + (noise * size * weight).to(tensor.dtype)
        return nudged

    def embedded(module: nn.Module, args: Any, output: Any) -> Any:
        return nudge(output) if isinstance(module, nn.Embedding) else None

    with evaluated(subject):
        handle = register_module_forward_hook(embedded)
        try:
            return outputs(subject, changed(inputs, nudge))
        finally:
            handle.remove()


@dataclass
class _Step:
    layer: str
    op: str
    source: str | None
    part: torch.Tensor


class _Recorder(TorchFunctionMode):
    """The kept part of what each operation of a forward pass returns."""

    def __init__(self, model: nn.Module, part: Part) -> None:
        super().__init__()
        self.steps: list[_Step] = []
        self._part, self._names = part, layer_names(model)
        self._stack: list[str] = []

    def enter(self, module: nn.Module, args: Any) -> None:
        self._stack.append(self._names.get(id(module), self._stack[-1] if self._stack else ""))

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._stack:
            self._stack.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.__name__ in ("__get__", "__set__"):
            return out
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.layout == torch.strided:
                part = self._part(tensor.detach())
                if part is not None:
                    self.steps.append(_Step(self._stack[-1] if self._stack else "", func.__name__, user_line(), part.clone()))
        return out


@dataclass(frozen=True)
class FirstDifference:
    """The first operation that moves what was kept."""

    layer: str = ""
    op: str = ""
    source: str | None = None
    module: nn.Module | None = None


def first_difference(subject: Subject, base: Inputs, variant: Inputs, part: Part) -> FirstDifference:
    """Where the kept part moves first; an empty origin where no operation shows it."""
    first, second = (_recorded(subject, inputs, part) for inputs in (base, variant))
    for a, b in zip(first, second, strict=False):
        if (a.layer, a.op) != (b.layer, b.op) or a.part.shape != b.part.shape:
            break
        if distance(a.part, b.part) > 0.0:
            return FirstDifference(a.layer, a.op, a.source, _module(subject, a.layer))
    return FirstDifference()


def _module(subject: Subject, layer: str) -> nn.Module | None:
    model = unwrap(subject.model)
    names = layer_names(model)
    return next((module for module in model.modules() if names[id(module)] == layer), None)


def _recorded(subject: Subject, inputs: Inputs, part: Part) -> list[_Step]:
    recorder = _Recorder(unwrap(subject.model), part)
    with evaluated(subject):
        handles = [
            register_module_forward_pre_hook(recorder.enter),
            register_module_forward_hook(recorder.leave, always_call=True),
        ]
        try:
            with recorder:
                call(subject.model, inputs, subject.seed)
        finally:
            for handle in handles:
                handle.remove()
    return recorder.steps
