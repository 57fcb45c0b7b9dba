"""Do the features of all samples lie on one line behind weights of one sign? A forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.distributed.kinds import is_distributed
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.nest import operand_tensors
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.subbatch import on_few
from gradcheck_health.probe.statistics.tensor_stats import plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.evidence import OneSided
from gradcheck_health.records.trace import Trace

SAMPLES, _ROWS = 64, 256
"""Samples of the pass, and vectors of features (a sample's, or a position's) that are compared."""
_CONVOLUTIONS = (f"conv{kind}{dims}d" for kind in ("", "_transpose") for dims in (1, 2, 3))
_PRODUCTS = frozenset(("linear", "matmul", "rmatmul", "mm", "addmm", "einsum", *_CONVOLUTIONS))
_LEAST = 16
"""Vectors, and features of each, below which a line says nothing."""


def one_line(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `one_sided`: the weights that forward uses, in order of their first use, with both shares."""
    if is_distributed(unwrap(subject.model)):
        return (trace.only(),)
    return on_few(lambda few: _measured(few, trace), subject, SAMPLES)


def _measured(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    names = {id(entry.tensor): entry.name for entry in named_parameters(unwrap(subject.model)) if entry.role == "weight"}
    suspects = {one.parameter for one in trace.one_sided}
    with sandbox(subject.model), eager(), _Entering(names, suspects) as entering:
        call(subject.model, subject.inputs, subject.seed)
    last = None if entering.last is None else share(entering.last)
    found = [OneSided(name, share(rows), last) for name, rows in entering.rows.items()]
    return (trace.only(one_sided=tuple(found)),)


class _Entering(TorchFunctionMode):
    """What enters each of the suspects at first, and what enters the last weight of all."""

    def __init__(self, names: dict[int, str], suspects: set[str]) -> None:
        super().__init__()
        self._names, self._suspects = names, suspects
        self.rows: dict[str, torch.Tensor] = {}
        self.last: torch.Tensor | None = None

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(function, "__name__", "").strip("_") in _PRODUCTS:
            operands = operand_tensors((args, kwargs or {}))
            weight, name = next(((one, name) for one in operands if (name := self._name(one))), (None, ""))
            other = next((one for one in operands if one is not weight and one.dim() > 1), None)
            if weight is not None and other is not None and (rows := _vectors(other, weight)) is not None:
                self.last = rows
                if name in self._suspects:
                    self.rows.setdefault(name, rows)
        return function(*args, **(kwargs or {}))

    def _name(self, tensor: torch.Tensor) -> str:
        """Of the parameter that it is, or is a view of: its transpose is multiplied with as often; "" of any other."""
        return self._names.get(id(tensor)) or self._names.get(id(tensor._base), "")


def _vectors(entering: torch.Tensor, weight: torch.Tensor) -> torch.Tensor | None:
    """Evenly spread [row, feature]: of a convolution the channels of a position are its features."""
    values = plain(entering)
    if values is None or not values.numel():
        return None
    rows = (values.movedim(1, -1) if weight.dim() > 2 and values.dim() > 2 else values).flatten(0, -2)
    return rows[:: -(-len(rows) // _ROWS)].clone()


def share(rows: torch.Tensor) -> float | None:
    """Of the largest principal component in the directions from each row to the next: 1 where all lie on one line.

    None for too few rows, or features, to tell. Directions, and not the rows: one row far away makes no line of the others.
    """
    if len(rows) < _LEAST or rows.shape[1] < _LEAST:
        return None
    steps = (rows - rows.roll(1, 0)).double()
    sizes = steps.norm(dim=1)
    moved = sizes > 1e-6 * rows.double().norm(dim=1)
    if int(moved.sum()) < _LEAST:
        return None
    ways = steps[moved] / sizes[moved, None]
    spread = torch.linalg.eigvalsh(ways.T @ ways if len(ways) > ways.shape[1] else ways @ ways.T)
    return float(spread[-1] / spread.sum())
