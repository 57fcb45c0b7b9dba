"""Absolute numbers of gradients, weights and activations, as other tools' rules speak of them, and ten steps of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from gradcheck_health.model.call import call
from gradcheck_health.model.names import layer_names, named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.statistics.tensor_stats import plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.evidence import Distribution
from gradcheck_health.records.trace import Trace

STEPS = 10
_RATE = 1e-3
_FLAT = {"ReLU": (0.0, float("inf")), "ReLU6": (0.0, 6.0), "Tanh": (-9.4999, 9.4999), "Sigmoid": (-23.0, 16.99999)}
"""Class of an activation -> the open interval of its input in which a unit counts as active."""
_ENTRIES = 1_000_000
"""Percentiles are taken over at most so many entries: `torch.quantile` refuses more than 2^24."""


def distributions(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """The distributions of one pass, and the objective before each of ten Adam steps (learning rate 1e-3) on the same batch."""
    model = unwrap(subject.model)
    with sandbox(subject.model):
        outputs: dict[str, Distribution] = {}
        handle = register_module_forward_hook(_watcher(layer_names(model), outputs))
        try:
            losses = [_pass(subject)]
        finally:
            handle.remove()
        gradients = list(_gradients(model))
        before = {entry.name: entry.tensor.detach().clone() for entry in named_parameters(model)}
        trainable = [p for p in model.parameters() if p.requires_grad and p.grad is not None]
        if trainable:
            optimizer = torch.optim.Adam(trainable, lr=_RATE)
            optimizer.step()
            weights = list(_weights(model, before))
            for _ in range(STEPS - 1):
                losses.append(_pass(subject))
                optimizer.step()
            losses.append(_pass(subject))
        else:
            weights = list(_weights(model, before))
    return (trace.only(distributions=(*outputs.values(), *gradients, *weights), losses=tuple(losses)),)


def _pass(subject: Subject) -> float:
    """One forward and one backward pass; the value of the objective."""
    subject.model.zero_grad(set_to_none=True)
    output = call(subject.model, subject.inputs, subject.seed)
    goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
    backward(goal, subject.model)
    if goal.value is not None:
        return goal.value
    projected = (torch.sum(root.detach() * gradient) for root, gradient in zip(goal.roots, goal.gradients, strict=True))
    return float(sum(value.real for value in projected))


def _gradients(model: nn.Module) -> Iterator[Distribution]:
    for entry in named_parameters(model):
        values = None if entry.tensor.grad is None else plain(entry.tensor.grad)
        if values is not None and values.numel():
            yield _of("gradient", entry.name, _owner(model, entry.name), values)


def _weights(model: nn.Module, before: dict[str, torch.Tensor]) -> Iterator[Distribution]:
    """The weights as they are before a step, and how far the step moved them."""
    for entry in named_parameters(model):
        values, now = plain(before[entry.name]), plain(entry.tensor)
        if values is not None and now is not None and values.numel():
            moved = None
            if entry.tensor.requires_grad:
                moved = float((now - values).abs().double().mean()) / (float(values.abs().double().mean()) + 1e-9)
            yield _of("weight", entry.name, _owner(model, entry.name), values, moved=moved)


def _owner(model: nn.Module, name: str) -> str:
    return type(model.get_submodule(name.rpartition(".")[0])).__name__


def _watcher(names: dict[int, str], found: dict[str, Distribution]) -> Callable[[nn.Module, Any, Any], None]:
    def watch(module: nn.Module, args: Any, output: Any) -> None:
        name = names.get(id(module))
        if name is None or name in found or not isinstance(output, torch.Tensor) or any(True for _ in module.children()):
            return
        values = plain(output)
        if values is None or not values.numel():
            return
        kind = type(module).__name__
        limits, given = _FLAT.get(kind), args[0] if args else None
        if limits is None or not isinstance(given, torch.Tensor) or values.dim() < 2:
            found[name] = _of("output", name, kind, values)
            return
        # an in-place activation has overwritten its input: what is at the flat end shows in the output as well
        before = values if getattr(module, "inplace", False) else given.detach()
        units = _by_unit((before > limits[0]) & (before < limits[1]))
        inactive = float((units.double().mean(1) < 0.01).double().mean())
        strong = _by_unit(values.abs()).double()
        weak = float((torch.quantile(strong[:, : _ENTRIES // max(len(strong), 1) + 1], 0.95, dim=1) < 1e-5).double().mean())
        found[name] = _of("output", name, kind, values, inactive=inactive, weak=weak)

    return watch


def _by_unit(values: torch.Tensor) -> torch.Tensor:
    """[units, everything else]: channels of (N, C, ...) with spatial axes, features of (N, F) and (N, T, F)."""
    return values.movedim(1 if values.dim() >= 4 else -1, 0).flatten(1)


def _of(
    of: str,
    name: str,
    kind: str,
    values: torch.Tensor,
    *,
    moved: float | None = None,
    inactive: float | None = None,
    weak: float | None = None,
) -> Distribution:
    flat = values.detach().double().flatten()
    sample = flat[:: flat.numel() // _ENTRIES + 1]
    low, high = (float(value) for value in torch.quantile(sample, torch.tensor([0.05, 0.95], dtype=sample.dtype)))
    mean, zeros = float(flat.abs().mean()), float((flat == 0).double().mean())
    return Distribution(of, name, kind, mean, zeros, low, high, float(flat.var(correction=0)), moved, inactive, weak)
