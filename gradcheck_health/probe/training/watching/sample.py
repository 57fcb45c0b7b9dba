"""A sample of the entries of many parameters before and after a step: views that are made once, two copies, one difference.

The copies are tables whose lines are filled up with zeros, so that one operation sums over all parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

SAMPLE = 512
"""Entries of a tensor, about; and of a line of the table."""
TOUCHED = 16
"""Rows of an embedding: those that the batch touched most."""


class Sample:
    """Entries of tensors that lie on one device. `before` and `after` stand around a step."""

    def __init__(self, tensors: Sequence[torch.Tensor], tables: Sequence[bool]) -> None:
        self._tensors = tensors
        self._tables = tables
        """Which are embeddings, of which a step moves a few rows."""
        self.sizes: list[int] = []
        """Sampled entries of each tensor."""
        self.starts: list[int] = []
        """The line of each at which it begins, and the number of lines at the end."""
        self._addresses: list[int] = []
        self._views: list[torch.Tensor] = []
        self._parts: list[torch.Tensor] = []
        self._mixed = False
        self._rows: dict[int, torch.Tensor] = {}
        self._zeros: dict[torch.dtype, torch.Tensor] = {}
        self._before: torch.Tensor | None = None
        self._earlier: torch.Tensor | None = None

    def before(self) -> None:
        """Copy the entries; of an embedding those in the rows that its gradient touches."""
        self._look_up()
        self._earlier, self._before = self._before, self._copy()

    def after(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The sums of dw^2 of each line, those of dw w, those of w^2; and every dw."""
        old = self._before
        if old is None:
            raise RuntimeError("a sample is compared with an earlier one: before() comes first")
        moves = self._copy() - old
        # no product of matrices, which autocast around the step would compute in half precision
        return torch.stack((moves * moves, moves * old, old * old)).sum(-1).reshape(-1), moves

    def as_before(self) -> bool:
        """Each entry was, before this step, bit for bit what it was before the measured step before it."""
        old, earlier = self._before, self._earlier
        return old is not None and earlier is not None and old.shape == earlier.shape and torch.equal(old, earlier)

    def _look_up(self) -> None:
        addresses = [one.data_ptr() for one in self._tensors]
        self._rows = {i: _touched(one.grad) for i, one in enumerate(self._tensors) if self._tables[i] and one.grad is not None}
        if addresses != self._addresses or self._rows:
            self._addresses = addresses
            self._views = [entries(one.detach()) for one in self._tensors]
            sizes = [view.numel() for view in self._views]
            for i, rows in self._rows.items():
                sizes[i] = rows.numel() * self._tensors[i][0].numel()
            if sizes != self.sizes:
                self.sizes = sizes
                self.starts = [0, *accumulate(-(-size // SAMPLE) for size in sizes)]
            self._parts = [] if self._rows else self._lines(self._views)
            self._mixed = len({view.dtype for view in self._views}) > 1

    def _copy(self) -> torch.Tensor:
        parts = self._parts
        if self._rows:
            views = list(self._views)
            for i, rows in self._rows.items():
                views[i] = self._tensors[i].detach()[rows].reshape(-1)
            parts = self._lines(views)
        if self._mixed:
            parts = [one.float() if one.element_size() < 4 else one for one in parts]
        joined = torch.cat(parts).view(-1, SAMPLE)
        return joined.float() if joined.element_size() < 4 else joined

    def _lines(self, views: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Each with the zeros behind it that fill its last line."""
        found = []
        for view, size in zip(views, self.sizes, strict=True):
            found.append(view)
            if size % SAMPLE:
                found.append(self._filling(view)[: -size % SAMPLE])
        return found

    def _filling(self, part: torch.Tensor) -> torch.Tensor:
        if part.dtype not in self._zeros:
            self._zeros[part.dtype] = torch.zeros(SAMPLE, dtype=part.dtype, device=part.device)
        return self._zeros[part.dtype]


def entries(tensor: torch.Tensor) -> torch.Tensor:
    """Some entries in the order of memory, spread evenly; a view where the tensor has no holes."""
    values = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    size = values.numel()
    step = size // SAMPLE | 1 if size > SAMPLE else 1
    if _dense(values):
        return torch.as_strided(values, (-(-size // step),), (step,), values.storage_offset())
    return values.reshape(-1)[::step]


def _dense(values: torch.Tensor) -> bool:
    """Its entries fill one stretch of memory, in whatever order."""
    filled = 1
    for stride, length in sorted(zip(values.stride(), values.shape, strict=True)):
        if length > 1 and stride != filled:
            return False
        filled *= length
    return True


def _touched(gradient: torch.Tensor) -> torch.Tensor:
    """The rows with the largest gradient, found without waiting for the device."""
    if gradient.is_sparse:
        touched: torch.Tensor = gradient._indices()[0][:TOUCHED]
        return touched
    rows = torch.linalg.vector_norm(gradient.detach().reshape(len(gradient), -1), dim=1)
    found: torch.Tensor = rows.topk(min(TOUCHED, len(rows))).indices
    return found
