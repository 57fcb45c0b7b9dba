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
SAFE = 1e-15, 1e15
"""Between these a norm in float32 is one: squares beyond are 0 or infinite there, and it is computed again in float64."""
COLUMNS = 16
"""Of a row that seems to be zero, looked at once more."""


class Watched(NamedTuple):
    """A parameter, its position in the track, and how it is read."""

    place: int
    tensor: torch.Tensor
    role: str
    rows: int
    bias: int | None
    """Position, among those that are read with it, of the bias that is added to the same units."""


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
        self._sizes: list[float] = []
        """Norms of the samples at the last measured step."""
        self._followed = [i for i, one in enumerate(watched) if one.rows]
        self._lengths = torch.tensor([watched[i].rows for i in self._followed], device=self._device)
        wide = any(one.dtype in (torch.float64, torch.complex128) for one in self._tensors)
        self._wide = torch.float64 if wide else torch.float32
        self._none = torch.zeros((), device=self._device)
        self._alive = torch.zeros(sum(watched[i].rows for i in self._followed), device=self._device)
        """The measured step at which each row last had a gradient."""
        self._step = 0
        self._faint: set[int] = set()
        """Weights of which many rows seem to be zero: those whose squares are too small for float32 seem so, too."""
        self._half = [i for i, one in enumerate(watched) if one.tensor.dtype in HALF and one.role == "weight"]

    def before(self) -> None:
        self._sample.before()

    def after(self) -> list[torch.Tensor]:
        """Numbers on the device."""
        gradients: list[Any] = [one.grad for one in self._tensors]
        sizes, products, moves = self._sample.after()
        return [*self._of_gradients(gradients), sizes, products, *self._still(gradients, moves)]

    def columns(self, numbers: Sequence[Sequence[float]]) -> tuple[Columns, bool]:
        """What `after` measured of each, in their order; and whether the last step had been undone before this one."""
        norms, counts, sizes, products, *still = numbers
        count, idle = len(self.watched), [0] * len(self.watched)
        for i, rows in zip(self._followed, counts, strict=True):
            if rows:
                idle[i] = int(rows)
                if 2 * rows > self.watched[i].rows:
                    self._faint.add(i)
        lines = len(products)
        old, changed = self._summed(sizes[:lines]), self._summed(sizes[lines:])
        if lines > count:
            products = [sum(products[a:b]) for a, b in pairwise(self._sample.starts)]
        undone = old == self._sizes and self._sample.as_before()  # the second waits for the device: only where it may be
        self._sizes = old
        columns = Columns(
            [one if SAFE[0] < one < SAFE[1] else self._exactly(i) for i, one in enumerate(norms)],
            [w * factor for w, factor in zip(old, self._sample.factors, strict=True)],
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

    def _of_gradients(self, gradients: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """The norm of each, and for how many rows of the followed ones there was none for `ROWS` steps."""
        self._step += 1
        values = [self._none if one is None else _values(one) for one in gradients]
        rows = [self._by_rows(i, gradients, values) for i in self._followed]
        norms = torch.stack(torch._foreach_norm(values, 2.0, self._wide))
        if not rows:
            return norms, self._alive
        self._alive.masked_fill_(torch.cat(rows) != 0, self._step)
        idle = (self._alive <= self._step - ROWS).float()
        return norms, torch.segment_reduce(idle, "sum", lengths=self._lengths, unsafe=True)

    def _by_rows(self, i: int, gradients: Sequence[Any], values: list[torch.Tensor]) -> torch.Tensor:
        """Numbers that are zero where a row has no gradient. Where they are norms they take the place of the gradient."""
        _, tensor, _, count, bias = self.watched[i]
        gradient = gradients[i]
        if bias is not None and gradients[bias] is not None:
            return values[bias]
        if gradient is None or gradient.layout != torch.strided:
            return torch.ones(count, device=self._device)
        table = values[i] if tensor.dim() == 2 else values[i].reshape(count, -1)
        values[i] = rows = torch.linalg.vector_norm(table, dim=1, dtype=self._wide)
        return self._awake(i, table, rows)

    def _exactly(self, i: int) -> float | None:
        """The norm of a gradient of which float32 does not hold the squares; None where there is none."""
        gradient = self._tensors[i].grad
        return None if gradient is None else float(torch.linalg.vector_norm(_values(gradient), dtype=torch.float64))

    def _awake(self, i: int, table: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        """Of a faint weight sums over a few columns, too, which no square makes too small."""
        if i not in self._faint:
            return norms
        return norms + table[:, :: max(1, table.shape[1] // COLUMNS)].sum(1).abs()

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


def _values(gradient: torch.Tensor) -> torch.Tensor:
    """Real, and without a graph."""
    if gradient.dtype is torch.float32 and gradient.layout is torch.strided and not gradient.requires_grad:
        return gradient
    values = gradient.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    return plain(values)
