"""A sample of the entries of many parameters before and after a step: views that are made once, two copies, one difference."""

from __future__ import annotations

from collections.abc import Sequence

import torch

SAMPLE = 512
"""Entries of a tensor, at most."""
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
        self._addresses: list[int] = []
        self._views: list[torch.Tensor] = []
        self._rows: dict[int, torch.Tensor] = {}
        self._lengths = torch.empty(0)
        self._before: torch.Tensor | None = None
        self._earlier: torch.Tensor | None = None

    def before(self) -> None:
        """Copy the entries; of an embedding those in the rows that its gradient touches."""
        self._look_up()
        self._earlier, self._before = self._before, self._copy()

    def after(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each tensor the sums of dw^2, of dw w and of w^2, one behind the other; and every dw."""
        old = self._before
        if old is None:
            raise RuntimeError("a sample is compared with an earlier one: before() comes first")
        moves = self._copy() - old
        sums = [self._sums(moves * moves), self._sums(moves * old), self._sums(old * old)]
        return torch.cat(sums), moves

    def as_before(self) -> bool:
        """Each entry was, before this step, bit for bit what it was before the measured step before it."""
        old, earlier = self._before, self._earlier
        return old is not None and earlier is not None and old.shape == earlier.shape and torch.equal(old, earlier)

    def _sums(self, values: torch.Tensor) -> torch.Tensor:
        sums: torch.Tensor = torch.segment_reduce(values, "sum", lengths=self._lengths, unsafe=True)
        return sums

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
                self._lengths = torch.tensor(sizes, device=self._tensors[0].device)

    def _copy(self) -> torch.Tensor:
        parts = list(self._views)
        for i, rows in self._rows.items():
            parts[i] = self._tensors[i].detach()[rows].reshape(-1)
        if len({one.dtype for one in parts}) > 1:
            parts = [one.float() if one.element_size() < 4 else one for one in parts]
        joined = torch.cat(parts)
        return joined.float() if joined.element_size() < 4 else joined


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
