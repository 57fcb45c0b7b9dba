"""Small plain tensors are remembered many at once: each comes back in place, whatever was done to it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.dense import is_dense
from gradcheck_health.model.sandbox.garbage import collector_paused, old_objects_spared, spare_more
from gradcheck_health.model.sandbox.small_tensors import LIMIT, PlainTensors


class Holder(nn.Module):
    """Plain leaves of several types, between two others that share memory."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(9.0).reshape(3, 3))
        self.frozen = nn.Parameter(torch.tensor([-0.0, float("nan"), 2.0]), requires_grad=False)
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("empty", torch.zeros(0, 4, dtype=torch.bfloat16))
        self.kept = [torch.ones(4, dtype=torch.bool), torch.arange(8, dtype=torch.uint8)]
        self.part = self.kept[1][2:4]


def state(model: Holder) -> list[Any]:
    """Identity, place, type, bytes and flags of every tensor."""
    tensors = [*model._parameters.values(), *model._buffers.values(), *model.kept, model.part]
    return [
        (
            id(tensor),
            type(tensor),
            tensor.dtype,
            tuple(tensor.shape),
            tensor.stride(),
            tensor.data_ptr(),
            tensor.untyped_storage().nbytes(),
            tensor.untyped_storage().tolist(),
            tensor.requires_grad,
            id(tensor.grad),
            tensor._backward_hooks,
            tensor._post_accumulate_grad_hooks,
            dict(vars(tensor)),
        )
        for tensor in tensors
        if tensor is not None
    ]


def _regrown(tensor: torch.Tensor) -> None:
    size = tensor.untyped_storage().nbytes()
    tensor.untyped_storage().resize_(0)
    tensor.untyped_storage().resize_(size)


@torch.no_grad()
def _transpose(tensor: torch.Tensor) -> None:
    if tensor.dim() == 2:
        tensor.t_()


class Odd(torch.Tensor):
    """Another class with the same layout."""


CHANGES: dict[str, Callable[[torch.Tensor], Any]] = {
    "bytes": lambda t: t.data.untyped_storage().fill_(7),
    "zero for minus zero": lambda t: t.data.neg_() if t.is_floating_point() else None,
    "other data": lambda t: setattr(t, "data", torch.zeros(2, 5, dtype=t.dtype)),
    "other type": lambda t: setattr(t, "data", t.data.to(torch.float64)),
    "transposed": lambda t: setattr(t, "data", t.data.t()) if t.dim() == 2 else None,
    "seen as another type": lambda t: setattr(t, "data", t.data.view(torch.bfloat16)) if t.dtype == torch.float32 else None,
    "transposed in place": _transpose,
    "an axis more": lambda t: setattr(t, "data", t.data[None]),
    "gradient": lambda t: setattr(t, "grad", torch.ones_like(t)) if t.is_floating_point() else None,
    "requires gradient": lambda t: t.requires_grad_(not t.requires_grad) if t.is_floating_point() else None,
    "hook": lambda t: t.register_hook(lambda grad: grad) if t.requires_grad else None,
    "late hook": lambda t: t.register_post_accumulate_grad_hook(lambda p: None) if t.requires_grad else None,
    "class": lambda t: setattr(t, "__class__", Odd) if type(t) is torch.Tensor else None,
    "attribute": lambda t: setattr(t, "seen", [1]),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("deep", [False, True])
def test_every_change_is_undone(what: str, deep: bool) -> None:
    """In a sandbox, and in one inside another, which shares its copies."""
    model = Holder()
    before = state(model)
    with sandbox(model):
        if deep:
            with sandbox(model):
                _change(model, CHANGES[what])
            assert state(model) == before
        _change(model, CHANGES[what])
        assert state(model) != before
    assert state(model) == before


def _change(model: Holder, change: Callable[[torch.Tensor], Any]) -> None:
    for tensor in [*model.parameters(), *model.buffers(), *model.kept, model.part]:
        change(tensor)


@pytest.mark.parametrize("change", [lambda t: t.untyped_storage().resize_(0), _regrown])
def test_memory_that_was_given_back_is_filled_again(change: Callable[[torch.Tensor], Any]) -> None:
    model = Holder()
    values = [p.tolist() for p in model.parameters()]
    with sandbox(model):
        _change(model, change)
    assert str([p.tolist() for p in model.parameters()]) == str(values)  # NaN is written as NaN


def test_old_gradient_waits_outside() -> None:
    model = Holder()
    gradient = model.weight.grad = torch.full((3, 3), 2.0)
    with sandbox(model):
        assert model.weight.grad is None
        model.weight.sum().backward()
        with sandbox(model):
            assert model.weight.grad is None
            model.weight.data = torch.ones(2)
            model.weight.grad = torch.zeros(2)
        assert model.weight.grad.tolist() == torch.ones(3, 3).tolist()
    assert model.weight.grad is gradient and gradient.tolist() == [[2.0] * 3] * 3


def test_what_is_not_plain_is_left_to_others() -> None:
    hooked, watched = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    hooked.register_hook(lambda grad: grad)
    watched.register_post_accumulate_grad_hook(lambda p: None)
    with torch.inference_mode():
        inferred = torch.ones(2)
    others = [
        torch.ones(2, requires_grad=True) * 2,
        hooked,
        watched,
        inferred,
        torch.zeros(2, 3).t(),
        torch.zeros(4, 4)[:, :2],
        torch.zeros(LIMIT // 4 + 1),
        torch.zeros(2, dtype=torch.complex64).conj(),
        torch.zeros(2, dtype=torch.complex64).conj().imag,
        torch.zeros(3).to_sparse(),
        torch.zeros(3, device="meta"),
        torch.zeros(3).as_subclass(Odd),
    ]
    plain = [torch.zeros(LIMIT // 4), torch.zeros(()), torch.zeros(3, dtype=torch.complex64), nn.Parameter(torch.ones(1))]
    taken = PlainTensors()
    assert list(map(id, taken.take([*others, *plain]))) == list(map(id, others))


def test_one_that_cannot_be_put_back_keeps_none_of_the_others() -> None:
    class Refuses(torch.Tensor):
        @property
        def __class__(self) -> Any:
            return Refuses

        @__class__.setter
        def __class__(self, cls: Any) -> None:
            raise RuntimeError("no")

    first, second = torch.ones(2), torch.ones(2)
    taken = PlainTensors()
    assert list(taken.take([first, second])) == []
    object.__setattr__(first, "__class__", Refuses)
    second.zero_()
    errors: list[Exception] = []
    taken.put_back(errors)
    assert [str(error) for error in errors] == ["no"]
    assert second.tolist() == [1.0, 1.0]


def test_dense_is_what_its_bytes_say() -> None:
    assert is_dense(torch.zeros(2)) and is_dense(nn.Parameter(torch.zeros(2))) and is_dense(torch.zeros(4, 4)[:, 1])
    assert not is_dense(torch.zeros(2).as_subclass(Odd)) and not is_dense(torch.zeros(2, device="meta"))
    seen: list[bool] = []
    torch.func.vmap(lambda x: seen.append(is_dense(x)) or x)(torch.zeros(2, 2))
    assert seen == [False]


@pytest.mark.parametrize("on", [True, False])
def test_collector_goes_on_as_before(on: bool) -> None:
    gc.enable() if on else gc.disable()
    try:
        with contextlib.suppress(ValueError), collector_paused():
            assert not gc.isenabled()
            raise ValueError
        assert gc.isenabled() is on
    finally:
        gc.enable()


@pytest.mark.slow
def test_old_objects_are_spared_and_given_back() -> None:
    before = gc.get_freeze_count()
    with old_objects_spared():
        frozen = gc.get_freeze_count()
        made = [[] for _ in range(1000)]
        spare_more()
        assert gc.get_freeze_count() >= frozen + len(made)
    assert frozen > before == gc.get_freeze_count() == 0
    gc.freeze()  # a person's own doing
    try:
        count = gc.get_freeze_count()
        with old_objects_spared():
            spare_more()
            assert gc.get_freeze_count() <= count
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_memory_that_ends_before_the_copies_leaves_nothing_half_kept() -> None:
    def tensors() -> Iterator[torch.Tensor]:
        yield nn.Parameter(torch.zeros(2))
        raise MemoryError

    small, errors = PlainTensors(), list[Exception]()
    with pytest.raises(MemoryError):
        list(small.take(tensors()))
    small.put_back(errors)
    assert errors == []
