"""Watches the steps of optimizers, in a trial and in a user's own loop: public hooks of torch only, nothing is replaced.

Weights are copied when a step begins; gradients are read when it ends, because a closure (LBFGS) computes them in it, and
no optimizer of torch writes to `.grad`. A step that a scaler skips fires no hook.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.names import NamedParameter, named_parameters
from gradcheck_health.probe.training import measure
from gradcheck_health.records.step import GroupTrace, ParameterStep


class Observer:
    """Hands each step that one of `optimizers` takes to `saw`; use it as a context manager."""

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        saw: Callable[[torch.optim.Optimizer, tuple[ParameterStep, ...]], None],
        begins: Callable[[torch.optim.Optimizer], None] | None = None,
    ) -> None:
        self.optimizers = tuple(optimizers)
        self._saw, self._begins = saw, begins
        self._named = [entry for entry in named_parameters(model) if not is_lazy(entry.tensor)]
        self._depth: dict[int, int] = {}
        """A subclass whose step calls the step of its base fires every hook twice."""
        self._before: dict[int, dict[int, tuple[measure.Sample, torch.Tensor]]] = {}
        """id of an optimizer -> id of a parameter -> entries of it, and its norm."""
        self._handles: list[Any] = []

    def __enter__(self) -> Observer:
        for optimizer in self.optimizers:
            self._handles.append(optimizer.register_step_pre_hook(self._begin))
            self._handles.append(optimizer.register_step_post_hook(self._end))
        return self

    def __exit__(self, *_: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _begin(self, optimizer: torch.optim.Optimizer, args: Any = (), kwargs: Any = None) -> None:
        depth = self._depth[id(optimizer)] = self._depth.get(id(optimizer), 0) + 1
        if depth == 1:
            if self._begins is not None:
                self._begins(optimizer)
            with _quietly():
                tensors = held(optimizer)
                given = None if _has_closure(args, kwargs) else [p.grad for p in tensors]
                kept = zip(measure.samples(tensors, given), measure.norm_scalars(tensors), strict=True)
                self._before[id(optimizer)] = {id(p): one for p, one in zip(tensors, kept, strict=True)}

    def _end(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        depth = self._depth[id(optimizer)] = self._depth.get(id(optimizer), 1) - 1
        if depth == 0 and id(optimizer) in self._before:
            with _quietly():
                self._saw(optimizer, self._measured(optimizer, self._before.pop(id(optimizer))))

    def forget(self) -> None:
        """A step that raised in the middle has not ended, and does not count."""
        self._depth.clear()
        self._before.clear()

    def _measured(
        self, optimizer: torch.optim.Optimizer, before: Mapping[int, tuple[measure.Sample, torch.Tensor]]
    ) -> tuple[ParameterStep, ...]:
        group_of = {id(p): i for i, group in enumerate(optimizer.param_groups) for p in group["params"]}
        own = [entry for entry in self._named if id(entry.tensor) in before]
        known = {id(entry.tensor) for entry in own}
        others = [p for p in held(optimizer) if id(p) not in known and p.grad is not None and id(p) in before]
        named: list[tuple[torch.Tensor, str, str]] = [(entry.tensor, entry.name, entry.role) for entry in own]
        named += [(p, f"{type(optimizer).__name__}[{i}]", "vector") for i, p in enumerate(others)]
        tensors = [tensor for tensor, _, _ in named]
        measured = _Numbers([before[id(tensor)] for tensor in tensors], tensors)
        scale = _grad_scale(optimizer)
        states = _nonfinite_states(optimizer, tensors)
        found = []
        for i, (tensor, name, role) in enumerate(named):
            size = measured.gradients.get(i)
            found.append(
                ParameterStep(
                    name=name,
                    role=role,
                    dtype=str(tensor.dtype).removeprefix("torch."),
                    entries=tensor.numel(),
                    weight=measured.old[i],
                    gradient=None if size is None else size / scale,
                    update=measured.moves[i],
                    pushed=measured.pushed[i],
                    moved=measured.moved[i],
                    group=group_of[id(tensor)],
                    nonfinite_gradient=0 if size is None or math.isfinite(size) else measure.nonfinite(tensor.grad),  # type: ignore[arg-type]
                    nonfinite_weight=0 if math.isfinite(measured.new[i]) else measure.nonfinite(tensor),
                    nonfinite_state=states.get(i, ""),
                )
            )
        return tuple(found)


class _Numbers:
    """What a step did to each of `tensors`, in their order: norms and counts, with one transfer to the host."""

    def __init__(self, before: Sequence[tuple[measure.Sample, torch.Tensor]], tensors: Sequence[torch.Tensor]) -> None:
        arrived = [i for i, tensor in enumerate(tensors) if tensor.grad is not None]
        gradients = [tensors[i].grad for i in arrived]
        moves = [sample.move(tensor) for (sample, _), tensor in zip(before, tensors, strict=True)]
        pushed = [before[i][0].of(gradient) != 0 for i, gradient in zip(arrived, gradients, strict=True)]  # type: ignore[arg-type]
        moved = [(moves[i] != 0) & some for i, some in zip(arrived, pushed, strict=True)]
        scalars = [
            [norm for _, norm in before],
            measure.norm_scalars(tensors),
            measure.norm_scalars(moves),
            measure.norm_scalars(gradients),  # type: ignore[arg-type]
            [one.count_nonzero() for one in pushed],
            [one.count_nonzero() for one in moved],
        ]
        values = iter(measure.numbers([one for row in scalars for one in row]))
        self.old, self.new, moves_of, sizes, wanted, done = ([next(values) for _ in row] for row in scalars)
        shares = [sample.stands_for for sample, _ in before]
        self.moves = [norm * math.sqrt(share) for norm, share in zip(moves_of, shares, strict=True)]
        self.gradients = dict(zip(arrived, sizes, strict=True))
        self.pushed, self.moved = [0] * len(tensors), [0] * len(tensors)
        for i, all_of, some_of in zip(arrived, wanted, done, strict=True):
            self.pushed[i], self.moved[i] = round(all_of * shares[i]), round(some_of * shares[i])


def held(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """The tensors in its groups."""
    return [p for group in optimizer.param_groups for p in group["params"] if not is_lazy(p)]


def groups(optimizers: Sequence[torch.optim.Optimizer], named: Sequence[NamedParameter]) -> tuple[GroupTrace, ...]:
    """The groups of all optimizers, with what in them is no parameter of the model and got no gradient."""
    known = {key for entry in named for key in keys(entry.tensor)}
    found = []
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            strangers = [p for p in group["params"] if known.isdisjoint(keys(p)) and p.grad is None]
            found.append(
                GroupTrace(
                    optimizer=type(optimizer).__name__,
                    lr=_number(group.get("lr"), math.nan),
                    parameters=len(group["params"]),
                    initial_lr=None if "initial_lr" not in group else _number(group["initial_lr"], math.nan),
                    eps=_number(group.get("eps"), None),
                    weight_decay=_number(group.get("weight_decay"), 0.0),
                    momentum=_number(group.get("momentum"), 0.0),
                    closure=needs_closure(optimizer),
                    strangers=tuple(tuple(p.shape) for p in strangers),
                )
            )
    return tuple(found)


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Its step evaluates the loss itself (LBFGS)."""
    try:
        closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    except (TypeError, ValueError):
        return False
    return closure is not None and closure.default is closure.empty


def keys(tensor: torch.Tensor) -> tuple[Any, ...]:
    """What a parameter is known by: the object, and the memory that it lies in."""
    try:
        address = 0 if is_lazy(tensor) else tensor.data_ptr()
    except RuntimeError:  # a subclass without memory of its own
        address = 0
    return (id(tensor), ("at", address)) if address else (id(tensor),)


def _has_closure(args: Any, kwargs: Any) -> bool:
    """The gradients are computed in the step: those that are there when it begins are of the last one."""
    return any(callable(one) for one in (*args[1:], *(kwargs or {}).values()))


def _number(value: Any, otherwise: Any) -> Any:
    """A learning rate may be a tensor; Adafactor has a pair for eps."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _grad_scale(optimizer: torch.optim.Optimizer) -> float:
    """A fused optimizer unscales inside its kernel: `.grad` is still scaled."""
    scale = getattr(optimizer, "grad_scale", None)
    return float(scale) if isinstance(scale, torch.Tensor) else 1.0


def _nonfinite_states(optimizer: torch.optim.Optimizer, tensors: Sequence[torch.Tensor]) -> dict[int, str]:
    """Position of a parameter -> the first of its buffers with a NaN or Inf."""
    places, buffers = [], []
    for i, tensor in enumerate(tensors):
        for name, value in (optimizer.state.get(tensor) or {}).items():
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
                places.append((i, str(name)))
                buffers.append(value)
    found: dict[int, str] = {}
    for (i, name), norm in zip(places, measure.norms(buffers), strict=True):
        if not math.isfinite(norm) and measure.nonfinite(buffers[places.index((i, name))]):
            found.setdefault(i, name)
    return found


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """No graph is built, no subclass and no mode of the user's is asked."""
    with torch.no_grad(), torch._C.DisableTorchFunction():
        yield
