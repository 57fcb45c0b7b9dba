"""What one measured step tells of the parameters of one optimizer that lie on one device, as one row of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch

from gradcheck_health.probe.training.measure import plain
from gradcheck_health.probe.training.watching.sample import SAMPLE, Sample, entries
from gradcheck_health.records.history import ROWS

HALF = (torch.float16, torch.bfloat16)
FEW = 4096
"""Entries of a gradient that are summed in one go with those of others; a larger one has a norm of its own."""
COLUMNS = 16
"""Of a row that seems to be zero, looked at once more."""


class Watched(NamedTuple):
    """A parameter, its position in the track, and how it is read."""

    place: int
    tensor: torch.Tensor
    role: str
    rows: int


class Columns(NamedTuple):
    """What a step told of each parameter; the columns of `Moment`."""

    gradients: list[float | None]
    weights: list[float]
    ratios: list[float | None]
    along: list[float | None]
    idle: list[int]
    still: list[float | None]


class Reader:
    """`before` and `after` stand around a step; `after` waits for nothing, and `columns` reads its numbers afterwards."""

    def __init__(self, watched: Sequence[Watched]) -> None:
        self.watched = watched
        self._tensors = [one.tensor for one in watched]
        self._sample = Sample(self._tensors, ["embedding" in one.role for one in watched])
        self._device = self._tensors[0].device
        self._whole = [one.numel() for one in self._tensors]
        self._sizes: list[float] = []
        """Norms of the samples at the last measured step."""
        self._followed = [i for i, one in enumerate(watched) if one.rows]
        self._order = [*self._followed, *(i for i, one in enumerate(watched) if not one.rows)]
        """In which gradients are read: first those that are followed row by row."""
        self._counts = [watched[i].rows or _few(self._tensors[i]) for i in self._order]
        """Numbers of each."""
        self._lengths = torch.tensor([*self._counts, *self._counts], device=self._device)
        self._alive = torch.zeros(sum(self._counts), dtype=torch.float64, device=self._device)
        """The measured step at which each of these numbers was last other than zero."""
        self._step = 0
        self._faint: set[int] = set()
        """Weights of which many rows seem to be zero: those whose squares are too small for float32 seem so, too."""
        self._half = [i for i, one in enumerate(watched) if one.tensor.dtype in HALF and one.role == "weight"]
        self._without: set[int] = set()

    def before(self) -> None:
        self._sample.before()

    def after(self) -> list[torch.Tensor]:
        """Numbers on the device."""
        gradients: list[Any] = [one.grad for one in self._tensors]
        self._without = {i for i, one in enumerate(gradients) if one is None}
        sizes, products, moves = self._sample.after()
        return [*self._of_gradients(gradients), sizes, products, *self._still(gradients, moves)]

    def columns(self, numbers: Sequence[Sequence[float]]) -> tuple[Columns, bool]:
        """What `after` measured of each, in their order; and whether the last step had been undone before this one."""
        squares, sizes, products, *still = numbers
        count, followed = len(self.watched), len(self._followed)
        gradients, idle = [math.nan] * count, [0] * count
        for i, square in zip(self._order, squares, strict=False):
            gradients[i] = math.sqrt(square)
        for i, rows in zip(self._followed, squares[count : count + followed], strict=True):
            idle[i] = int(rows)
            if 2 * rows > self.watched[i].rows:
                self._faint.add(i)
        lines = len(products)
        old, changed = self._summed(sizes[:lines]), self._summed(sizes[lines:])
        if lines > count:
            products = [sum(products[a:b]) for a, b in pairwise(self._sample.starts)]
        undone = old == self._sizes and self._sample.as_before()  # the second waits for the device: only where it may be
        self._sizes = old
        weights = [w * math.sqrt(n / part) for w, n, part in zip(old, self._whole, self._sample.sizes, strict=True)]
        columns = Columns(
            [None if i in self._without else one for i, one in enumerate(gradients)],
            weights,
            [dw / w if w > 0 else math.nan if w else None for dw, w in zip(changed, old, strict=True)],
            [a / (dw * w) if 0 < dw * w < math.inf else None for a, dw, w in zip(products, changed, old, strict=True)],
            idle,
            self._stayed(*still),
        )
        return columns, undone

    def _summed(self, lines: Sequence[float]) -> list[float]:
        """Of each tensor, out of the norms of its lines."""
        if len(lines) == len(self.watched):
            return list(lines)
        return [lines[a] if b == a + 1 else math.hypot(*lines[a:b]) for a, b in pairwise(self._sample.starts)]

    def _of_gradients(self, gradients: Sequence[Any]) -> tuple[torch.Tensor, ...]:
        """The square of the norm of each, then for how many rows of the followed ones there was none for `ROWS` steps."""
        self._step += 1
        parts = [self._numbers(gradients[i], count) for i, count in zip(self._order, self._counts, strict=True)]
        values = torch.cat(parts).double()
        alive = values != 0
        if self._faint:
            awake = [self._awake(i, gradients[i], part) for i, part in zip(self._order, parts, strict=True)]
            alive |= torch.cat(awake) != 0
        self._alive.masked_fill_(alive, self._step)
        sums = torch.cat((values.mul_(values), (self._alive <= self._step - ROWS).double()))
        return (torch.segment_reduce(sums, "sum", lengths=self._lengths, unsafe=True),)

    def _numbers(self, gradient: Any, count: int) -> torch.Tensor:
        """So many numbers whose squares add up to that of the norm: of its rows, of its entries, or the norm itself."""
        if gradient is None:
            return torch.ones(count, device=self._device)
        values = _values(gradient)
        if gradient.layout == torch.strided and values.numel() == count:
            return values.reshape(-1)
        if gradient.layout == torch.strided and count > 1:
            rows: torch.Tensor = torch.linalg.vector_norm(values if values.dim() == 2 else values.reshape(count, -1), dim=1)
            return rows
        norm: torch.Tensor = torch.linalg.vector_norm(values)
        return norm.div(math.sqrt(count)).expand(count)

    def _awake(self, i: int, gradient: Any, norms: torch.Tensor) -> torch.Tensor:
        """Of a faint weight sums over a few columns, which no square makes too small."""
        if i not in self._faint or gradient is None or gradient.layout != torch.strided:
            return norms
        table = _values(gradient).reshape(len(norms), -1)
        return table[:, :: max(1, table.shape[1] // COLUMNS)].sum(1)

    def _still(self, gradients: Sequence[Any], moves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of each half-precision weight: sampled entries with a gradient, and those of them that stayed."""
        if not self._half:
            return ()
        zero = torch.zeros((), dtype=torch.float64, device=moves.device)
        pushed, stays = [zero] * len(self._half), [zero] * len(self._half)
        flat, sample = moves.reshape(-1), self._sample
        for k, i in enumerate(self._half):
            gradient = gradients[i]
            if gradient is not None and gradient.layout == torch.strided and gradient.stride() == self._tensors[i].stride():
                there = entries(gradient.detach()).reshape(-1) != 0
                pushed[k] = there.sum().double()
                part = flat.narrow(0, sample.starts[i] * SAMPLE, sample.sizes[i])
                stays[k] = (there & (part == 0)).sum().double()
        return torch.stack(pushed), torch.stack(stays)

    def _stayed(self, pushed: Sequence[float] = (), stays: Sequence[float] = ()) -> list[float | None]:
        found: list[float | None] = [None] * len(self.watched)
        for i, there, stay in zip(self._half, pushed, stays, strict=True):
            found[i] = stay / there if there else None
        return found


def _few(tensor: torch.Tensor) -> int:
    """Numbers that are read of a gradient that is not followed by its rows."""
    count = tensor.numel() * (2 if tensor.is_complex() else 1)
    return count if count <= FEW else 1


def _values(gradient: torch.Tensor) -> torch.Tensor:
    """Real, without a graph, and wide enough to be squared."""
    if gradient.dtype is torch.float32 and gradient.layout is torch.strided and not gradient.requires_grad:
        return gradient
    values = gradient.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    values = plain(values)
    return values.float() if values.dtype in HALF else values
