"""What a failing operation wanted of one of its operands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_health.inputs.plan import Dim, Group, Leaf, Node, Path, Plan


@dataclass(frozen=True, slots=True)
class Want:
    """One wish: `what` is size, least, multiple, rank, total, kind, range, fill or like; or a ready edit of the plan."""

    what: str
    tensor: torch.Tensor | None = None
    dim: int = 0
    value: Any = None
    template: tuple[Dim, ...] = ()
    """Dimensions of a tensor of the wanted rank."""
    high: int | None = None
    """Range of the integers that are wanted."""
    why: str = ""
    cost: float = 1.0
    edit: Callable[[Plan], list[Plan]] | None = None
    partner: tuple[torch.Tensor, int] | None = None
    """The tensor and the dimension that this one ought to agree with."""
    stretched: bool = False
    """A single entry would do as well, whatever the other size: it is broadcast."""


def size(tensor: torch.Tensor, dim: int, value: int, why: str, cost: float = 1.0) -> Want:
    """Dimension `dim` ought to be exactly `value`."""
    return Want("size", tensor, dim, value, why=why, cost=cost)


def equal(a: torch.Tensor, i: int, b: torch.Tensor, j: int, why: str, *, stretched: bool = False) -> list[Want]:
    """Two dimensions ought to agree: either may follow the other."""
    return [
        Want("size", b, j, a.shape[i], why=why, partner=(a, i), stretched=stretched),
        Want("size", a, i, b.shape[j], why=why, cost=1.1, partner=(b, j), stretched=stretched),
    ]


def putting(path: Path, *nodes: Node) -> Callable[[Plan], list[Plan]]:
    """The edits that put each of these nodes at `path`."""
    return lambda plan: [plan.put(path, node) for node in nodes]


def wrapping(path: Path, form: str, counts: tuple[int, ...]) -> Callable[[Plan], list[Plan]]:
    """The edits that turn the tensor at `path` into a list or tuple of that many."""

    def edits(plan: Plan) -> list[Plan]:
        leaf = plan.get(path)
        if not isinstance(leaf, Leaf) or leaf.fixed:
            return []
        return [plan.put(path, Group(tuple((i, leaf) for i in range(count)), form)) for count in counts]

    return edits
