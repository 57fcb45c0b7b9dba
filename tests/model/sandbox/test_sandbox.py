"""The model and the process come back as they were: identities, pointers, bytes, flags, hooks, generators."""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import warnings
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients
from gradcheck_health.model.sandbox import small_tensors
from gradcheck_health.model.sandbox.context import reachable_modules, sandbox
from gradcheck_health.model.sandbox.saved_tensor import SavedTensor
from gradcheck_health.model.sandbox.small_tensors import LIMIT
from gradcheck_health.model.sandbox.snapshot import Snapshot
from gradcheck_health.records.errors import ModelError
from tests.model.leftovers.fingerprint import Fingerprint


class Hostile(nn.Module):
    """Changes whatever a module can change while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.lazy = nn.LazyLinear(4)
        self.register_buffer("ema", torch.zeros(4))
        self.calls, self.history, self.cache = 0, deque([1, 2], maxlen=5), {"a": [torch.zeros(2)]}
        self.generator = torch.Generator().manual_seed(1)
        self.unregistered = [nn.BatchNorm1d(4)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.history.append(self.calls)
        self.cache["a"].append(x)
        self.cache["a"][0].add_(1)
        self.cache["b"] = x
        self.ema = 0.9 * self.ema + 0.1 * x.mean(0)
        self.late = nn.Linear(1, 1)
        self.fc.weight.requires_grad_(True)
        self.norm.eval()
        self.norm.momentum = 0.7
        torch.rand(3, generator=self.generator)
        random.random()
        torch.rand(1)
        os.environ["GRADHEALTH_HOSTILE"] = "1"
        sys.path.append("/nowhere")
        torch.set_default_dtype(torch.float32)
        warnings.simplefilter("error")
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.fc.register_forward_hook(lambda *_: None)
        h = self.unregistered[0](self.norm(self.fc(x)))
        self.fc.bias.data = torch.ones(4)
        out: torch.Tensor = self.lazy(h)
        return out


@pytest.mark.slow
def test_hostile_model_comes_back_bit_identical() -> None:
    model = Hostile()
    model.fc.weight.grad = torch.ones(4, 4)
    x = torch.randn(8, 4)
    before = Fingerprint.of(model)
    check_gradients(model, x)
    assert before.differences(Fingerprint.of(model)) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_model_comes_back_after_an_exception(error: type[BaseException]) -> None:
    class Raises(Hostile):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            super().forward(x)
            raise error("now")

    model, x = Raises(), torch.randn(8, 4)
    before = Fingerprint.of(model)
    with pytest.raises(ModelError if error is ValueError else error):
        check_gradients(model, x)
    assert before.differences(Fingerprint.of(model)) == []


@pytest.mark.slow
def test_sick_path_leaves_no_trace() -> None:
    """The facts train, kick and cast the model."""
    torch.manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(10) for layer in (nn.Linear(8, 8), nn.Sigmoid())], nn.Linear(8, 2))
    x = torch.randn(16, 8)
    before = Fingerprint.of(model)
    report = check_gradients(model, x)
    assert {"kicked", "after_steps", "reseeded", "detailed"} <= set(report.trace.facts)
    assert before.differences(Fingerprint.of(model)) == []


def test_gradients_start_as_none_inside() -> None:
    model = nn.Linear(2, 2)
    kept = model.weight.grad = torch.full((2, 2), 5.0)
    with sandbox(model):
        assert model.weight.grad is None
        model(torch.ones(1, 2)).sum().backward()
    assert model.weight.grad is kept
    assert kept.tolist() == [[5.0, 5.0], [5.0, 5.0]]


def test_replaced_parameter_comes_back() -> None:
    model = nn.Linear(2, 2)
    weight, pointer = model.weight, model.weight.data_ptr()
    with sandbox(model):
        model.weight = nn.Parameter(torch.zeros(3, 3))
        model.double()
    assert model.weight is weight
    assert (weight.data_ptr(), weight.dtype) == (pointer, torch.float32)


def test_modules_in_plain_lists_are_reached() -> None:
    model = Hostile()
    assert model.unregistered[0] in reachable_modules(model)


@pytest.mark.slow
def test_interrupt_during_restore_waits_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a restore would leave an empty model."""
    model = Hostile()
    restore = SavedTensor.put_back

    def interrupted(*saved: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        restore(*saved)

    monkeypatch.setattr(SavedTensor, "put_back", interrupted)
    x = torch.randn(8, 4)
    before = Fingerprint.of(model)
    with pytest.raises(KeyboardInterrupt):
        check_gradients(model, x)
    assert before.differences(Fingerprint.of(model)) == []


@pytest.mark.parametrize("size", [2, LIMIT])
def test_failure_on_the_way_in_loses_no_gradient(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(2, size)
    kept = model.weight.grad = torch.ones(size, 2)

    def out_of_memory(function: Any, place: int) -> Any:
        def called(*args: Any) -> Any:
            if args[place] is model.bias:
                raise MemoryError
            return function(*args)

        return called

    monkeypatch.setattr(SavedTensor, "__init__", out_of_memory(SavedTensor.__init__, 1))
    monkeypatch.setattr(small_tensors, "_flags", out_of_memory(small_tensors._flags, 0))
    with pytest.raises(MemoryError), sandbox(model):
        pass
    assert model.weight.grad is kept


def test_optimizer_in_backward_does_not_run() -> None:
    model = nn.Linear(4, 2)
    stepped: list[Any] = []
    model.weight.register_post_accumulate_grad_hook(stepped.append)
    assert check_gradients(model, torch.randn(8, 4)).ok
    assert stepped == []
    model(torch.randn(1, 4)).sum().backward()
    assert len(stepped) == 1


class Slotted(nn.Module):
    __slots__ = ("state",)

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.state = torch.zeros(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state += 1
        self.state = x
        out: torch.Tensor = self.fc(x)
        return out


@dataclass
class Counters:
    steps: int = 0
    seen: list[int] = field(default_factory=list)


class Keeper(nn.Module):
    """Keeps what it counts in a record, a namespace, a numpy array, and on its own weight."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.counters, self.space, self.table = Counters(), SimpleNamespace(last=None), numpy.zeros(3)
        self.fc.weight.tag = ["new"]  # type: ignore[attr-defined]
        self.hooked = self.fc.bias.register_hook(lambda gradient: gradient)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.counters.steps += 1
        self.counters.seen.append(1)
        self.space.last = x
        self.table += 1
        self.fc.weight.tag.append("used")  # type: ignore[attr-defined]
        self.fc.weight.more = True  # type: ignore[attr-defined]
        if x.requires_grad or self.fc.weight.requires_grad:
            self.fc.weight.register_hook(lambda gradient: gradient)
            self.fc.bias.register_hook(lambda gradient: gradient * 2)
        out: torch.Tensor = self.fc(x)
        return out


def test_slots_come_back() -> None:
    model = Slotted()
    state = model.state
    check_gradients(model, torch.randn(4, 2))
    assert model.state is state
    assert state.tolist() == [0.0, 0.0]


def test_records_arrays_and_what_hangs_on_a_weight_come_back() -> None:
    model = Keeper()
    weight, bias = model.fc.weight, model.fc.bias
    check_gradients(model, torch.randn(4, 2))
    assert (model.counters, model.space.last, model.table.tolist()) == (Counters(), None, [0.0, 0.0, 0.0])
    assert vars(weight) == {"tag": ["new"]}
    assert not weight._backward_hooks
    assert bias._backward_hooks is not None
    assert len(bias._backward_hooks) == 1


@dataclass(frozen=True)
class Batch:
    x: torch.Tensor


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, batch: Any) -> torch.Tensor:
        out: torch.Tensor = self.fc(batch.x.mul_(2))
        return out


@pytest.mark.parametrize("kind", [Batch, SimpleNamespace])
def test_batch_that_is_worked_on_in_place_stays(kind: Any) -> None:
    batch = kind(x=torch.ones(4, 2))
    check_gradients(InPlace(), (batch,))
    assert batch.x.tolist() == [[1.0, 1.0]] * 4


class Unmeasured(tuple[Any, ...]):
    """A tuple that refuses to tell its length."""

    def __len__(self) -> int:
        raise NotImplementedError


def test_tuple_that_refuses_its_length_is_examined() -> None:
    model = nn.Linear(2, 2)
    hidden = nn.Linear(2, 2)
    model.parts = Unmeasured((hidden,))
    before = hidden.weight.clone()
    with sandbox(model), torch.no_grad():
        hidden.weight.zero_()
    assert torch.equal(hidden.weight, before)


@pytest.mark.parametrize("width", [64, 256])
def test_sandbox_inside_another_shares_what_is_equal(width: int) -> None:
    """The inner copy is the outer one, unless a value changed between; both put back what they found."""
    model = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))
    outer = Snapshot()
    outer.remember([model])
    with torch.no_grad():
        model[1].weight.add_(1.0)
    moved = model[1].weight.detach().clone()
    inner = Snapshot(around=outer)
    inner.remember([model])
    copies = [_copies(memory) for memory in (outer, inner)]
    shared = [copies[0][id(p)] == copies[1][id(p)] for p in model.parameters()]
    assert shared == [True, True, False, True]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    inner.restore()
    assert torch.equal(model[1].weight, moved)
    outer.restore()
    assert torch.equal(model[1].weight + 1.0, moved)


def _copies(memory: Snapshot) -> dict[int, int]:
    """id of a tensor -> address of its copy."""
    small = {key: row.copy for key, row in memory._plain._rows.items()}
    return small | {key: saved.parts[0][2].data_ptr() for key, saved in memory._saved.items()}


@pytest.mark.parametrize("value", [0.0, math.nan])
def test_bytes_are_compared_not_values(value: float) -> None:
    """-0.0 equals 0.0, and NaN nothing: neither is a statement about bytes."""
    tensor = torch.full((8,), value)
    saved = SavedTensor(tensor)
    tensor.neg_()
    assert not torch.equal(tensor.view(torch.int32), torch.full((8,), value).view(torch.int32))
    saved.restore()
    assert torch.equal(tensor.view(torch.int32), torch.full((8,), value).view(torch.int32))


@pytest.mark.parametrize("width", [3, LIMIT])
def test_inner_sandbox_makes_no_second_copy_of_what_has_not_changed(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    clone, room = torch.Tensor.clone, torch.UntypedStorage

    def cloned(tensor: torch.Tensor) -> torch.Tensor:
        copied.append(tensor.nbytes)
        return clone(tensor)

    def made(nbytes: int) -> torch.UntypedStorage:
        copied.append(nbytes)
        return room(nbytes)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(torch.Tensor, "clone", cloned)
    monkeypatch.setattr(torch, "UntypedStorage", made)
    model = nn.Linear(width, 2)
    bias, weight_bytes = 8, 8 * width
    weight = model.weight.tolist()
    with sandbox(model):
        assert sum(copied) == bias + weight_bytes
        copied.clear()
        with torch.no_grad():
            model.bias.fill_(7.0)
        with sandbox(model), torch.no_grad():
            assert sum(copied) == bias
            model.bias.fill_(8.0)
            model.weight.fill_(8.0)
        assert model.bias.tolist() == [7.0, 7.0]
        assert model.weight.tolist() == weight
        model.to(torch.float64)
        with sandbox(model), torch.no_grad():
            model.weight.fill_(9.0)
        assert model.weight.dtype == torch.float64 and model.weight.tolist() == weight
    assert model.weight.dtype == torch.float32 and model.weight.tolist() == weight
    copied.clear()
    with sandbox(model):
        assert sum(copied) == bias + weight_bytes


@pytest.mark.parametrize("width", [4, 256])
def test_a_way_round_the_count_of_changes_ends_at_the_outer_sandbox(width: int) -> None:
    """Inside another one autograd's count of changes and a sample are believed; outside all bytes are compared."""
    model = nn.Linear(width, width)
    before = model.weight.detach().clone()
    with sandbox(model):
        for write in (lambda w: w.add_(1.0), lambda w: w.data.mul_(2.0)):
            with sandbox(model), torch.no_grad():
                write(model.weight)
            assert torch.equal(model.weight, before)
        with sandbox(model):
            model.weight.data[0, 1] = 7.0
    assert torch.equal(model.weight, before)
