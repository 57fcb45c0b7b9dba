"""Tensors of every kind, changed in every part of theirs, come back; what lies beside them in memory is not touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health.model.sandbox import snapshot
from gradcheck_health.model.sandbox.context import reachable_modules, sandbox
from tests.model.sandbox.test_snapshot import put_back

pytestmark = pytest.mark.filterwarnings("ignore")
"""Sparse, nested and quantised tensors warn that they are early or late."""

DENSE = torch.tensor([[0.0, 2.0, 0.0, 4.0], [1.0, 0.0, 3.0, 0.0]])

PARTS: dict[str, tuple[Callable[[], torch.Tensor], tuple[str, ...]]] = {
    "coo": (DENSE.to_sparse, ("_indices", "_values")),
    "csr": (DENSE.to_sparse_csr, ("crow_indices", "col_indices", "values")),
    "csc": (DENSE.to_sparse_csc, ("ccol_indices", "row_indices", "values")),
    "bsr": (lambda: DENSE.to_sparse_bsr((2, 2)), ("crow_indices", "col_indices", "values")),
    "bsc": (lambda: DENSE.to_sparse_bsc((2, 2)), ("ccol_indices", "row_indices", "values")),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)]), ("values",)),
    "jagged": (lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], layout=torch.jagged), ("values",)),
}
"""A kind without one memory of its own -> how it is made, and the tensors that hold its bytes."""


@pytest.mark.parametrize(("kind", "part"), [(kind, part) for kind, (_, parts) in PARTS.items() for part in parts])
def test_each_part_comes_back(kind: str, part: str) -> None:
    tensor = PARTS[kind][0]()
    held = getattr(tensor, part)()
    before = held.tolist()
    with put_back(tensor), torch.no_grad():
        held.add_(1)
        assert held.tolist() != before
    assert getattr(tensor, part)().tolist() == before
    assert held.tolist() == before  # in place


def test_quantised_numbers_come_back() -> None:
    tensor = torch.quantize_per_tensor(torch.arange(4.0), 0.5, 0, torch.qint8)
    with put_back(tensor):
        tensor.copy_(torch.full((4,), 9.0))
        assert tensor.int_repr().tolist() == [18] * 4
    assert tensor.int_repr().tolist() == [0, 2, 4, 6]


if torch.backends.mkldnn.is_available():  # else there is none to be put back

    def test_numbers_in_the_layout_of_a_library_come_back() -> None:
        tensor = DENSE.to_mkldnn()
        with put_back(tensor):
            tensor.mul_(tensor)
        assert tensor.to_dense().tolist() == DENSE.tolist()


def test_type_without_arithmetic_comes_back() -> None:
    """Nothing but its bytes can be compared, and of a stride not even they."""
    memory = torch.arange(16, dtype=torch.uint8)
    for tensor in (memory.view(torch.bits8), memory.view(torch.bits8)[::2]):
        with put_back(tensor):
            memory.fill_(7)
        assert memory[::2].tolist() == list(range(0, 16, 2))
        memory.copy_(torch.arange(16))


def beside(strided: Callable[[torch.Tensor], torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A tensor, the memory under it, and which of that memory is not its own."""
    memory = torch.arange(24.0)
    tensor = strided(memory)
    marks = torch.zeros(24)
    torch.as_strided(marks, tensor.shape, tensor.stride(), tensor.storage_offset()).fill_(1.0)
    return tensor, memory, marks == 0


STRIDED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "every second": lambda memory: memory[::2],
    "left columns": lambda memory: memory.view(4, 6)[:, :2],
    "right columns": lambda memory: memory.view(4, 6)[:, 4:],
    "upside down axes": lambda memory: memory.view(2, 3, 4)[:, :2, ::2].permute(2, 0, 1),
    "one row of stride zero": lambda memory: memory.as_strided((1, 3), (0, 4)),
    "one column": lambda memory: memory.view(4, 6)[:, 3:4],
    "one entry": lambda memory: memory[5:6],
    "one of each pair": lambda memory: memory.as_strided((2, 2, 1), (8, 2, 1), 1),
}


@pytest.mark.parametrize("name", STRIDED)
def test_a_view_comes_back_and_what_lies_beside_it_stays(name: str) -> None:
    tensor, memory, others = beside(STRIDED[name])
    before = tensor.tolist()
    with put_back(tensor):
        memory.fill_(-1.0)
    assert tensor.tolist() == before
    assert bool((memory[others] == -1.0).all())


@pytest.mark.parametrize(
    "make",
    [
        lambda memory: memory[:3].expand(2, 3),
        lambda memory: memory[:2].expand(3, 2),
        lambda memory: memory[:1].expand(5),
        lambda memory: memory[:4].view(4, 1).expand(4, 3),
        lambda memory: memory[:2].view(2, 1, 1).expand(2, 2, 2),
        lambda memory: memory[2:8].unfold(0, 4, 2),
    ],
)
def test_entries_that_share_their_memory_come_back(make: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """None of them can be written to as a whole."""
    memory = torch.arange(24.0)
    tensor = make(memory)
    before = tensor.tolist()
    with put_back(tensor):
        memory.fill_(-1.0)
    assert tensor.tolist() == before


def test_a_change_that_only_the_stride_sees_is_put_back() -> None:
    """The first bytes are the same before and after: [5, 7, ...] of [5, 7, 7, 9], read at every second."""
    memory = torch.tensor([5.0, 7.0, 7.0, 9.0])
    tensor = memory[::2]
    with put_back(tensor):
        tensor[1] = 8.0
    assert tensor.tolist() == [5.0, 7.0]


def test_a_change_of_sign_alone_is_put_back() -> None:
    """The imaginary part of a conjugate lies in memory with the opposite sign."""
    number = torch.tensor([1 + 2j])
    tensor = number.conj().imag
    with put_back(tensor):
        tensor.neg_()
        assert number.tolist() == [1 - 2j]
    assert number.tolist() == [1 + 2j]


class Wrapper(torch.Tensor):
    """Has no memory of its own."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)  # type: ignore[attr-defined]

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError("nothing is to be computed with it")


def test_a_wrapper_is_asked_nothing_and_what_it_holds_comes_back() -> None:
    model = nn.Module()
    model.wrapped = Wrapper(torch.zeros(3))
    wrapped, inner = model.wrapped, model.wrapped.inner
    with sandbox(model):
        inner.add_(1.0)
        wrapped.inner = torch.ones(3)
        model.wrapped = None
    assert model.wrapped is wrapped and wrapped.inner is inner
    assert inner.tolist() == [0.0, 0.0, 0.0]


class Marked(torch.Tensor):
    """Has memory of its own."""


def test_a_subclass_with_memory_comes_back() -> None:
    tensor = torch.zeros(3).as_subclass(Marked)
    with put_back(tensor):
        tensor.add_(1.0)
        tensor.data = torch.ones(5).as_subclass(Marked)
    assert tensor.tolist() == [0.0, 0.0, 0.0]


def test_tensors_without_values_come_back_by_what_they_say() -> None:
    model = nn.Linear(2, 3, device="meta")
    weight, bias = model.weight, model.bias
    with sandbox(model):
        model.to_empty(device="cpu")
        model.weight = nn.Parameter(torch.zeros(1))
        bias.requires_grad_(False)
    assert (model.weight, model.bias) == (weight, bias)
    assert weight.is_meta and weight.shape == (3, 2) and bias.requires_grad


def test_a_list_that_holds_itself_is_walked_once() -> None:
    model, hidden = nn.Module(), nn.Linear(1, 1)
    loop: list[Any] = [hidden]
    loop.append({"again": (loop, model)})
    model.parts = loop
    assert reachable_modules(model) == [model, hidden]


class Box:
    """A plain object."""

    def __init__(self, held: list[Any]) -> None:
        self.held = held


@pytest.mark.slow
def test_room_for_plain_objects_is_fifty_thousand_things() -> None:
    box = Box([[0] for _ in range(60_000)])
    with put_back(box):
        for one in box.held:
            one[0] = 1
    assert 49_900 < sum(one == [0] for one in box.held) <= 50_000


@pytest.mark.parametrize(("size", "things"), [(4, 1), (10 * 4096, 11), (100 * 4096, 101)])
def test_four_kibibytes_of_a_tensor_are_one_thing(size: int, things: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "ROOM", 1010)
    box = Box([torch.zeros(size, dtype=torch.uint8) for _ in range(1100)])
    with put_back(box):
        for tensor in box.held:
            tensor[0] = 1
    assert sum(int(tensor[0]) == 0 for tensor in box.held) == pytest.approx(1010 / things, rel=0.01, abs=1)
