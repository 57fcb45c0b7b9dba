"""A sample of the entries of many parameters before and after a step, in tables that are made once.

Each parameter has a line of the table, an embedding as many as the sampled rows fill; what a line does not need holds
zeros, so that one operation sums over all parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch

SAMPLE = 512
"""Entries of a tensor, at most; and of a line of the table."""
BLOCK = 8
"""Neighbours in memory that are read together: what costs time is to go to a place, not to read on from there."""
TOUCHED = 16
"""Rows of an embedding: those that the batch touched most."""


class Table(NamedTuple):
    """The entries before a step, and how far it moved them."""

    pair: torch.Tensor
    """Shape (2, lines, SAMPLE)."""
    old: torch.Tensor
    moves: torch.Tensor
    """Its two halves, and the entries of each tensor in them."""
    old_fields: list[torch.Tensor]
    new_fields: list[torch.Tensor]


class Sample:
    """Entries of tensors that lie on one device. `before` and `after` stand around a step."""

    def __init__(self, tensors: Sequence[torch.Tensor], tables: Sequence[bool]) -> None:
        self._tensors = tensors
        self._embeddings = [i for i, one in enumerate(tables) if one]
        """A step moves a few rows of them."""
        self.sizes: list[int] = []
        """Sampled entries of each tensor."""
        self.factors: list[float] = []
        """What the norm of each sample is multiplied by to estimate that of the tensor."""
        self.starts: list[int] = []
        """The line of each at which it begins, and the number of lines at the end."""
        self._addresses: list[int] = []
        self._views: list[torch.Tensor] = []
        self._loose: list[int] = []
        """Tensors with holes, of which there is no such view."""
        self._rows: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        """Of each embedding the rows, and which of them have no gradient after all."""
        self._now: Table | None = None
        self._last: Table | None = None

    def before(self) -> None:
        """Copy the entries; of an embedding those in the rows that its gradient touches."""
        self._look_up()
        self._now, self._last = self._last, self._now
        if self._now is None:
            self._now = self._made()
        self._copy(self._now.old_fields)

    def after(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of each line the norms of w and of dw, shape (2, lines), and their product; and every dw."""
        table = self._now
        if table is None:
            raise RuntimeError("a sample is compared with an earlier one: before() comes first")
        self._copy(table.new_fields)
        table.moves.sub_(table.old)
        # no product of matrices, which autocast around the step would compute in half precision
        return torch.linalg.vector_norm(table.pair, dim=2), (table.old * table.moves).sum(1), table.moves

    def as_before(self) -> bool:
        """Each entry was, before this step, bit for bit what it was before the measured step before it."""
        now, last = self._now, self._last
        return now is not None and last is not None and torch.equal(now.old, last.old)

    def _look_up(self) -> None:
        addresses = [one.data_ptr() for one in self._tensors]
        if addresses != self._addresses:
            self._addresses = addresses
            self._views = [entries(one.detach()) for one in self._tensors]
            self._loose = [i for i, one in enumerate(self._views) if one.data_ptr() != addresses[i]]
        gradients = [(i, self._tensors[i].grad) for i in self._embeddings]
        self._rows = {i: _touched(gradient) for i, gradient in gradients if gradient is not None}
        sizes = [view.numel() for view in self._views]
        for i, (rows, _) in self._rows.items():
            sizes[i] = rows.numel() * self._tensors[i][0].numel()
        if sizes != self.sizes:
            self.sizes, self.starts = sizes, [0, *accumulate(-(-size // SAMPLE) for size in sizes)]
            self.factors = [math.sqrt(one.numel() / size) for one, size in zip(self._tensors, sizes, strict=True)]
            self._now = self._last = None

    def _made(self) -> Table:
        wide = torch.float64 if any(one.element_size() == 8 for one in self._views) else torch.float32
        pair = torch.zeros(2, self.starts[-1], SAMPLE, dtype=wide, device=self._tensors[0].device)
        old, moves = pair.unbind()
        return Table(pair, old, moves, self._fields(old), self._fields(moves))

    def _fields(self, table: torch.Tensor) -> list[torch.Tensor]:
        flat = table.view(-1)
        places = zip(self._views, self.starts, self.sizes, strict=False)
        fields = [(view, flat.narrow(0, start * SAMPLE, size)) for view, start, size in places]
        return [field.view(view.shape) if view.numel() == len(field) else field for view, field in fields]

    def _copy(self, fields: list[torch.Tensor]) -> None:
        views = self._views
        if self._rows or self._loose:
            views = list(views)
            for i in self._loose:
                views[i] = entries(self._tensors[i].detach())
            for i, (rows, idle) in self._rows.items():
                found = self._tensors[i].detach()[rows]
                views[i] = found.reshape(len(found), -1).masked_fill_(idle, 0).view(fields[i].shape)
        torch._foreach_copy_(fields, views)


def entries(tensor: torch.Tensor) -> torch.Tensor:
    """Some entries, spread evenly in the order of memory, as a view: all of a small tensor, blocks of a large one."""
    values = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    size, start = values.numel(), values.storage_offset()
    if not _dense(values):
        return values.reshape(-1)[:: size // SAMPLE | 1 if size > SAMPLE else 1]
    if size <= SAMPLE:
        return torch.as_strided(values, (size,), (1,), start)
    step = size * BLOCK // SAMPLE | 1
    return torch.as_strided(values, ((size - BLOCK) // step + 1, BLOCK), (step, 1), start)


def _dense(values: torch.Tensor) -> bool:
    """Its entries fill one stretch of memory, in whatever order."""
    filled = 1
    for stride, length in sorted(zip(values.stride(), values.shape, strict=True)):
        if length > 1 and stride != filled:
            return False
        filled *= length
    return True


def _touched(gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows with the largest gradient, and which of them have none, found without waiting for the device."""
    if gradient.is_sparse:
        rows: torch.Tensor = gradient._indices()[0][:TOUCHED]
        return rows, torch.zeros(len(rows), 1, dtype=torch.bool, device=rows.device)
    sizes = torch.linalg.vector_norm(gradient.detach().reshape(len(gradient), -1), dim=1)
    found = sizes.topk(min(TOUCHED, len(sizes)))
    return found.indices, (found.values == 0).unsqueeze(1)
