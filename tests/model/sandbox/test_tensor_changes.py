"""Every change to a tensor is undone: small or large, in a module or behind an object, in one sandbox or two."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.snapshot import Snapshot
from tests.model.sandbox.test_snapshot import put_back

SIZES = {"small": 6, "64 KiB": 1 << 14, "more than that": (1 << 14) + 1}


class Box:
    """A plain object of a person's."""

    def __init__(self, held: Any) -> None:
        self.held = held


class Other(nn.Parameter):
    """What a lazy parameter does when it is materialised: it changes its class."""


def state(tensor: torch.Tensor) -> dict[str, Any]:
    """All that a person can see of a tensor, as plain values."""
    return {
        "class": type(tensor),
        "values": tensor.detach().tolist(),
        "address": tensor.data_ptr(),
        "place": (tensor.shape, tensor.stride(), tensor.dtype, tensor.untyped_storage().nbytes()),
        "requires_grad": tensor.requires_grad,
        "gradient": (id(tensor.grad), None if tensor.grad is None else tensor.grad.tolist()),
        "hooks": (id(tensor._backward_hooks), list((tensor._backward_hooks or {}).values())),
        "late hooks": list((tensor._post_accumulate_grad_hooks or {}).values()) if tensor.requires_grad else [],
        "attributes": dict(vars(tensor)),
    }


def same(now: dict[str, Any], before: dict[str, Any], change: str) -> bool:
    """What is resized has another address, as the page on safety says."""
    return all(now[key] == before[key] for key in now if key != "address" or "storage e" not in change)


def as_float64(tensor: torch.Tensor) -> None:
    tensor.data = tensor.data.double()


def elsewhere(tensor: torch.Tensor) -> None:
    tensor.data = torch.zeros_like(tensor.data)


def emptied(tensor: torch.Tensor) -> None:
    tensor.untyped_storage().resize_(0)


def emptied_and_elsewhere(tensor: torch.Tensor) -> None:
    storage = tensor.untyped_storage()
    tensor.data = torch.zeros(3, 3, dtype=torch.float64)
    storage.resize_(0)


def enlarged(tensor: torch.Tensor) -> None:
    tensor.untyped_storage().resize_(tensor.untyped_storage().nbytes() * 2)
    tensor.detach().add_(1.0)


CHANGES: dict[str, Callable[[torch.Tensor], Any]] = {
    "nothing": lambda tensor: None,
    "first byte": lambda tensor: tensor.detach().view(torch.uint8)[:1].bitwise_xor_(1),
    "last byte": lambda tensor: tensor.detach().view(torch.uint8)[-1:].bitwise_xor_(1),
    "values": lambda tensor: tensor.detach().fill_(7.0),
    "sign of zeros": lambda tensor: tensor.detach().zero_().neg_(),
    "not a number": lambda tensor: tensor.detach().fill_(torch.nan),
    "dtype": as_float64,
    "storage": elsewhere,
    "values past autograd": lambda tensor: tensor.data.fill_(7.0),
    "shape": lambda tensor: tensor.data.resize_(1),
    "transposed": lambda tensor: tensor.data.set_(tensor.data.untyped_storage(), 0, (2, 3), (1, 2)),
    "storage emptied": emptied,
    "storage emptied behind": emptied_and_elsewhere,
    "storage enlarged": enlarged,
    "requires_grad": lambda tensor: tensor.requires_grad_(not tensor.requires_grad),
    "gradient": lambda tensor: setattr(tensor, "grad", torch.ones_like(tensor)),
    "no gradient": lambda tensor: setattr(tensor, "grad", None),
    "hook": lambda tensor: tensor.register_hook(lambda gradient: gradient),
    "late hook": lambda tensor: tensor.register_post_accumulate_grad_hook(lambda leaf: None),
    "attribute": lambda tensor: setattr(tensor, "mark", 1),
    "class": lambda tensor: setattr(tensor, "__class__", Other),
}


def parameter(size: int, hooked: bool, gradient: bool) -> nn.Parameter:
    tensor = nn.Parameter(torch.arange(float(size)))
    if gradient:
        tensor.grad = torch.full_like(tensor, 3.0)
    if hooked:
        tensor.register_hook(lambda gradient: gradient)
        tensor.register_post_accumulate_grad_hook(lambda leaf: None)
    return tensor


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_undone(change: str, size: str) -> None:
    for hooked in (False, True):
        for gradient in (False, True):
            for held in (lambda tensor: [tensor], lambda tensor: SimpleNamespace(box=Box(tensor))):
                tensor = parameter(SIZES[size], hooked, gradient)
                before, kept = state(tensor), held(tensor)
                with put_back(kept):
                    CHANGES[change](tensor)
                assert same(state(tensor), before, change), f"hooked: {hooked}, gradient: {gradient}"


@pytest.mark.parametrize("change", CHANGES)
def test_a_sandbox_puts_back_what_it_found_and_the_one_around_it_what_was_there_first(change: str) -> None:
    """What is written past autograd is put back by the outer one at the latest."""
    for between in ("nothing", "values", "dtype", "storage", *(["requires_grad"] if "hook" not in change else [])):
        for size in SIZES.values():
            model = nn.Module()
            model.weight = parameter(size, False, True)
            model.twin = parameter(size, False, False)  # nobody changes it
            first, twin = state(model.weight), state(model.twin)
            with sandbox(model):
                assert model.weight.grad is None
                CHANGES[between](model.weight)
                found = state(model.weight)
                with sandbox(model):
                    CHANGES[change](model.weight)
                assert same(state(model.weight), found, change) or change == "values past autograd", between
            assert same(state(model.weight), first, change), between
            assert state(model.twin) == twin


@pytest.mark.parametrize("index", range(3))
def test_each_of_several_tensors_gets_its_own_bytes_back(index: int) -> None:
    """Their copies lie in a row."""
    tensors = [torch.arange(5.0), torch.arange(3, dtype=torch.int16), torch.arange(7.0, dtype=torch.float64)]
    before = [state(tensor) for tensor in tensors]
    with put_back(tensors):
        tensors[index].add_(1)
    assert [state(tensor) for tensor in tensors] == before
    with put_back(tensors):
        for tensor in tensors:
            tensor.zero_()
    assert [state(tensor) for tensor in tensors] == before


def test_a_view_is_put_back_at_its_own_place() -> None:
    memory = torch.arange(12.0)
    view = memory[4:8]
    before = state(view)
    with put_back([view]):
        memory.fill_(-1.0)
        view.data = torch.zeros(4)
    assert state(view) == before
    assert memory.tolist() == [-1.0] * 4 + [4.0, 5.0, 6.0, 7.0] + [-1.0] * 4


def test_a_tensor_that_refuses_leaves_the_others_to_be_put_back() -> None:
    class Refuses(nn.Parameter):
        def __setattr__(self, name: str, value: object) -> None:
            raise ValueError("no")

    model = nn.Module()
    model.first, model.second = (parameter(6, False, True) for _ in range(2))
    before = state(model.second)
    memory = Snapshot()
    memory.remember([model])
    model.first.__class__ = Refuses
    for one in (model.first, model.second):
        one.data.zero_()
    with pytest.raises(ValueError, match="no"):
        memory.restore()
    assert state(model.second) == before
