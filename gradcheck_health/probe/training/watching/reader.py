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
        """Sums of w^2 at the last measured step."""
        self._followed = [i for i, one in enumerate(watched) if one.rows]
        counts = [watched[i].rows for i in self._followed]
        self._counts = torch.tensor(counts, device=self._device)
        self._ages = torch.zeros(sum(counts), dtype=torch.int32, device=self._device)
        """For how many measured steps the gradient of each followed row has been zero."""
        self._exact: set[int] = set()
        """Weights of which many rows seem to be zero: a norm too small for float32 would seem so, too."""
        self._half = [i for i, one in enumerate(watched) if one.tensor.dtype in HALF and one.role == "weight"]
        self._others: list[int] = []
        self._without: set[int] = set()

    def before(self) -> None:
        self._sample.before()

    def after(self) -> torch.Tensor:
        """One row of numbers on the device."""
        gradients: list[Any] = [one.grad for one in self._tensors]
        self._without = {i for i, one in enumerate(gradients) if one is None}
        sums, moves = self._sample.after()
        return torch.cat((*self._by_row(gradients), *self._norms(gradients), sums.double(), *self._still(moves)))

    def columns(self, numbers: Sequence[float]) -> tuple[Columns, bool]:
        """What `after` measured of each, in their order; and whether the last step had been undone before this one."""
        count, at = len(self.watched), 2 * len(self._followed)
        gradients, idle = [math.nan] * count, [0] * count
        for i, norm, rows in zip(self._followed, numbers, numbers[len(self._followed) : at], strict=False):
            gradients[i], idle[i] = norm, int(rows)
            if 2 * rows > self.watched[i].rows:
                self._exact.add(i)
        for i, norm in zip(self._others, numbers[at:], strict=False):
            gradients[i] = norm
        at += len(self._others)
        lines = self._sample.starts[-1]
        changed, along, size = (self._summed(numbers[at + k * lines : at + (k + 1) * lines]) for k in range(3))
        undone = size == self._sizes and self._sample.as_before()  # the second waits for the device: only where it may be
        self._sizes = size
        known: list[float | None] = [None if i in self._without else one for i, one in enumerate(gradients)]
        columns = Columns(
            known if self._without else list(gradients),
            [math.sqrt(w * share) if w >= 0 else math.nan for w, share in zip(size, self._shares(), strict=True)],
            [_ratio(dw, w) for dw, w in zip(changed, size, strict=True)],
            [a / math.sqrt(dw * w) if 0 < dw * w < math.inf else None for a, dw, w in zip(along, changed, size, strict=True)],
            idle,
            self._stayed(numbers[at + 3 * lines :]),
        )
        return columns, undone

    def _summed(self, lines: Sequence[float]) -> list[float]:
        """Of each tensor, out of those of its lines."""
        starts = self._sample.starts
        if len(lines) == len(self.watched):
            return list(lines)
        return [sum(lines[a:b]) for a, b in pairwise(starts)]

    def _shares(self) -> list[float]:
        """Entries for each one that is sampled."""
        return [whole / part for whole, part in zip(self._whole, self._sample.sizes, strict=True)]

    def _stayed(self, numbers: Sequence[float]) -> list[float | None]:
        found: list[float | None] = [None] * len(self.watched)
        count = len(self._half)
        for i, pushed, stays in zip(self._half, numbers, numbers[count:], strict=False):
            found[i] = stays / pushed if pushed else None
        return found

    def _by_row(self, gradients: Sequence[Any]) -> tuple[torch.Tensor, ...]:
        """Norms of the gradients of the followed weights, and how many of their rows have had none for `ROWS` steps."""
        if not self._followed:
            return ()
        parts, awake = [], []
        for i in self._followed:
            gradient = gradients[i]
            if gradient is None or gradient.layout != torch.strided:
                parts.append(torch.ones(self.watched[i].rows, device=self._device))
                awake.append(parts[-1])
                continue
            table = gradient if gradient.dim() == 2 else gradient.reshape(self.watched[i].rows, -1)
            if table.dtype in HALF:  # a square overflows
                table = table.float()
            parts.append(torch.linalg.vector_norm(table, dim=1))
            awake.append(table.abs().amax(1) if i in self._exact else parts[-1])
        sizes = torch.cat(parts).double()
        alive = torch.cat(awake) if self._exact else sizes
        self._ages = (self._ages + 1).mul_(alive == 0)
        return self._sums(sizes * sizes).sqrt(), self._sums((self._ages >= ROWS).double())

    def _sums(self, values: torch.Tensor) -> torch.Tensor:
        return torch.segment_reduce(values, "sum", lengths=self._counts, unsafe=True)

    def _norms(self, gradients: Sequence[Any]) -> tuple[torch.Tensor, ...]:
        """Of what is not followed by its rows and has a gradient."""
        followed = {i for i in self._followed if gradients[i] is not None and gradients[i].layout == torch.strided}
        self._others = [i for i, one in enumerate(gradients) if one is not None and i not in followed]
        if not self._others:
            return ()
        found = torch._foreach_norm([_values(gradients[i]) for i in self._others])
        return (torch.stack(found).double(),)

    def _still(self, moves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of each half-precision weight: sampled entries with a gradient, and those of them that stayed."""
        if not self._half:
            return ()
        zero = torch.zeros((), dtype=torch.float64, device=self._device)
        pushed, stays = [zero] * len(self._half), [zero] * len(self._half)
        flat, sample = moves.reshape(-1), self._sample
        for k, i in enumerate(self._half):
            gradient = self._tensors[i].grad
            if gradient is not None and gradient.layout == torch.strided and gradient.stride() == self._tensors[i].stride():
                there = entries(gradient.detach()) != 0
                pushed[k] = there.sum().double()
                part = flat.narrow(0, sample.starts[i] * SAMPLE, sample.sizes[i])
                stays[k] = (there & (part == 0)).sum().double()
        return torch.stack(pushed), torch.stack(stays)


def _ratio(dw: float, w: float) -> float | None:
    """|dw| / |w| out of their squares."""
    return math.sqrt(dw / w) if w > 0 and dw >= 0 else math.nan if w else None


def _values(gradient: torch.Tensor) -> torch.Tensor:
    if gradient.dtype is torch.float32 and gradient.layout is torch.strided:
        return gradient
    values = gradient.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    values = plain(values)
    return values.float() if values.dtype in HALF else values
