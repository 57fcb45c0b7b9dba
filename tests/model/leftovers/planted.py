"""Traces left on purpose, one of each kind: (what leaves it, a word of the place where it shows)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import numpy
import torch
from torch import nn

from tests.model.leftovers.hard_attributes import Meter, Record


class Rich(nn.Module):
    """Something of everything."""

    shared: ClassVar[Any] = ["class"]

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm, self.lazy = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.LazyLinear(2)
        self.register_buffer("table", torch.zeros(2, 3))
        self.register_buffer("view", self.table[0])
        self.register_buffer("rows", torch.eye(2).to_sparse())
        self.items, self.names, self.kinds = [1, [2]], {"a": 1}, {1, 2}
        self.meter, self.record, self.array = Meter(), Record(), numpy.zeros(2)
        self.generator, self.numbers = torch.Generator(), numpy.random.default_rng(0)
        self.told = _told([1])
        self.fc.weight.grad = torch.ones(4, 4)


def _told(seen: list[int]) -> Callable[[], list[int]]:
    return lambda: seen


def _write(model: Any) -> None:
    with torch.no_grad():
        model.fc.weight[0, 0] += 1


def _same_values_elsewhere(model: Any) -> None:
    model.fc.weight.data = model.fc.weight.data.clone()


HELD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "one value": (_write, "fc"),
    "the same values at another address": (_same_values_elsewhere, "fc"),
    "an equal parameter in its place": (lambda m: setattr(m.fc, "weight", nn.Parameter(m.fc.weight.detach())), "fc"),
    "a buffer written": (lambda m: m.norm.running_mean.add_(1), "running_mean"),
    "a buffer replaced": (lambda m: setattr(m, "table", m.table.clone()), "table"),
    "a value beside a view": (lambda m: m.table[1].add_(1), "table"),
    "a sparse value": (lambda m: m.rows.values().add_(1) if m.rows.is_coalesced() else m.rows._values().add_(1), "rows"),
    "a lazy layer that has run": (lambda m: m.lazy(torch.zeros(1, 4)), "lazy"),
    "a gradient": (lambda m: setattr(m.norm.weight, "grad", torch.zeros(4)), "grad"),
    "a gradient written": (lambda m: m.fc.weight.grad.add_(1), "grad"),
    "an equal gradient": (lambda m: setattr(m.fc.weight, "grad", torch.ones(4, 4)), "grad"),
    "no gradient": (lambda m: setattr(m.fc.weight, "grad", None), "grad"),
    "requires_grad": (lambda m: m.fc.bias.requires_grad_(False), "bias"),
    "a mode": (lambda m: m.norm.eval(), "training"),
    "a setting of a layer": (lambda m: setattr(m.norm, "momentum", 0.5), "momentum"),
    "a forward hook": (lambda m: m.fc.register_forward_hook(lambda *_: None), "_forward_hooks"),
    "a backward hook": (lambda m: m.fc.register_full_backward_hook(lambda *_: None), "_backward_hooks"),
    "a hook on a weight": (lambda m: m.fc.weight.register_hook(lambda g: g), "_backward_hooks"),
    "a hook after accumulation": (lambda m: m.fc.weight.register_post_accumulate_grad_hook(lambda p: None), "_post_acc"),
    "a mark on a weight": (lambda m: setattr(m.fc.weight, "mark", 1), "mark"),
    "a submodule": (lambda m: setattr(m, "late", nn.ReLU()), "late"),
    "no submodule": (lambda m: delattr(m, "norm"), "norm"),
    "another order": (lambda m: m._modules.update(fc=m._modules.pop("fc")), "_modules"),
    "another class": (lambda m: setattr(m.norm, "__class__", nn.BatchNorm2d), "norm"),
    "another dtype": (lambda m: m.fc.double(), "fc"),
    "an attribute": (lambda m: setattr(m, "cache", 1), "cache"),
    "a list inside a list": (lambda m: m.items[1].append(3), "items"),
    "an equal list": (lambda m: setattr(m, "items", [1, [2]]), "items"),
    "a key": (lambda m: m.names.update(b=2), "names"),
    "a member": (lambda m: m.kinds.add(9), "kinds"),
    "inside a plain object": (lambda m: m.meter.update(1.0), "meter"),
    "inside a record": (lambda m: m.record.seen.append(1), "record"),
    "an array": (lambda m: m.array.__iadd__(1), "array"),
    "a generator": (lambda m: torch.rand(1, generator=m.generator), "generator"),
    "a generator of numpy": (lambda m: m.numbers.random(), "numbers"),
    "in a closure": (lambda m: m.told().append(1), "closure"),
    "in the class": (lambda m: m.shared.append(1), "shared"),
    "a class attribute": (lambda m: setattr(type(m), "later", 1), "later"),
}


def _leave_a_thread(undo: list[Callable[[], Any]]) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    undo.append(lambda: (stop.set(), thread.join()))


def _leave_a_descriptor(undo: list[Callable[[], Any]]) -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    undo.append(lambda: os.close(descriptor))


def _leave_a_patch(undo: list[Callable[[], Any]]) -> None:
    before = nn.functional.relu
    nn.functional.relu = lambda x: before(x)
    undo.append(lambda: setattr(nn.functional, "relu", before))


OUTSIDE: dict[str, tuple[Callable[[list[Callable[[], Any]]], Any], str]] = {
    "a thread": (_leave_a_thread, "threads"),
    "a descriptor": (_leave_a_descriptor, "descriptors"),
    "a patched function": (_leave_a_patch, "functional"),
}
"""Beside the settings in `hard_process.SWITCHES`; each is handed a list for what takes it back."""
