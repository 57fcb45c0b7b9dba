"""What each walk through a nest opens, and what a copy keeps: one table for all of them."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, UserDict, namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health.model.nest import fresh, leaves, map_tensors, operand_tensors, tensors

ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)
Pair = namedtuple("Pair", ["left", "right"])


@dataclasses.dataclass
class Record:
    value: Any


class Plain:
    def __init__(self, value: Any) -> None:
        self.value = value


class Private:
    def __init__(self, value: Any) -> None:
        self._value = value


@dataclasses.dataclass(init=False)
class Output(OrderedDict[str, Any]):
    """A mapping whose fields are attributes, too, as in transformers."""


# value -> what leaves names, whether `tensors` finds it, whether `operand_tensors` does
CASES: dict[str, tuple[Any, list[str], bool, bool]] = {
    "tensor": (ONE, [""], True, True),
    "nothing": (None, [], False, False),
    "list": ([ONE], ["[0]"], True, True),
    "tuple in a list": ([(TWO, ONE)], ["[0][0]", "[0][1]"], True, True),
    "named tuple": (Pair(ONE, 3), [".left"], True, True),
    "dict": ({"a": ONE}, ["['a']"], True, True),
    "mapping with attributes": (Output({"logits": ONE}), [".logits"], True, True),
    "user dict": (UserDict(a=ONE), ["['a']"], True, False),
    "dataclass": (Record([ONE]), [".value[0]"], True, False),
    "namespace": (SimpleNamespace(x=ONE), [".x"], True, False),
    "object": (Plain({"k": ONE}), [".value['k']"], True, False),
    "private attribute": (Private(ONE), [], True, False),
    "set": ({ONE}, [], True, False),
    "slice": (slice(ONE, None), [], False, True),
    "module": (nn.Linear(1, 1), [], False, False),
    "class": (Plain, [], False, False),
    "text": ("abc", [], False, False),
}


@pytest.mark.parametrize("case", CASES)
def test_what_each_walk_opens(case: str) -> None:
    value, named, reachable, operand = CASES[case]
    assert [leaf.path for leaf in leaves(value)] == named
    assert bool(list(tensors(value))) == reachable
    assert bool(operand_tensors(value)) == operand


def test_a_nest_that_holds_itself_ends() -> None:
    value: list[Any] = [ONE]
    value.append(value)
    assert sum(1 for _ in leaves(value)) == 8


@pytest.mark.parametrize(
    "case",
    ["tensor", "tuple in a list", "named tuple", "dict", "mapping with attributes", "user dict", "dataclass", "namespace"],
)
def test_copy_has_the_same_form_and_other_tensors(case: str) -> None:
    value = CASES[case][0]
    changed = map_tensors(value, lambda tensor: tensor + 10)
    assert type(changed) is type(value)
    assert [leaf.path for leaf in leaves(changed)] == [leaf.path for leaf in leaves(value)]
    assert [float(t) for t in tensors(changed)] == [float(t) + 10 for t in tensors(value)]
    assert float(ONE) == 1.0


def test_fresh_keeps_what_requires_grad_and_shares_no_memory() -> None:
    value = {"x": torch.ones(2, requires_grad=True), "n": torch.ones(2)}
    copied = fresh(value)
    assert copied["x"].requires_grad and copied["x"].is_leaf and not copied["n"].requires_grad
    assert copied["x"].data_ptr() != value["x"].data_ptr()


def test_frozen_record_is_copied_without_its_constructor() -> None:
    @dataclasses.dataclass(frozen=True)
    class Frozen:
        x: torch.Tensor

        def __post_init__(self) -> None:
            assert self.x.ndim == 0

    copied = map_tensors(Frozen(ONE), lambda tensor: tensor.reshape(1))
    assert copied.x.shape == (1,)


class Halves:
    """A pair that keeps its parts in private slots and shows them as properties."""

    __slots__ = ("__left", "_hidden", "_right")

    def __init__(self, left: torch.Tensor, right: torch.Tensor, hidden: torch.Tensor) -> None:
        self.__left, self._right, self._hidden = left, right, hidden

    @property
    def left(self) -> torch.Tensor:
        return self.__left

    @property
    def right(self) -> torch.Tensor:
        return self._right


def test_what_a_property_shows_is_named_by_it() -> None:
    pair = Halves(ONE, TWO, torch.tensor(3.0))
    assert [(leaf.path, leaf.tensor) for leaf in leaves(pair)] == [(".left", ONE), (".right", TWO)]
    assert len(list(tensors(pair))) == 3
