"""What one measured step tells of the parameters of one optimizer that lie on one device, as one row of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from gradcheck_health.probe.training.measure import plain
from gradcheck_health.probe.training.watching.sample import Sample, entries
from gradcheck_health.records.history import ROWS

HALF = (torch.float16, torch.bfloat16)


class Watched(NamedTuple):
    """A parameter, its position in the track, and how it is read."""

    place: int
    tensor: torch.Tensor
    role: str
    rows: int


class Row(NamedTuple):
    """What a step told of one parameter; the fields of `Moment`."""

    gradient: float | None
    weight: float
    ratio: float | None
    along: float | None
    idle: int
    still: float | None


class Reader:
    """`before` and `after` stand around a step; `after` waits for nothing, and `rows` reads its numbers when they are there."""

    def __init__(self, watched: Sequence[Watched]) -> None:
        self.watched = watched
        self._tensors = [one.tensor for one in watched]
        self._sample = Sample(self._tensors, ["embedding" in one.role for one in watched])
        self._device = self._tensors[0].device
        self._whole = [one.numel() for one in self._tensors]
        self._sizes: tuple[float, ...] = ()
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

    def rows(self, numbers: Sequence[float]) -> tuple[dict[int, Row], bool]:
        """By position in the track what `after` measured; and whether the last step had been undone before this one."""
        at = 0

        def take(places: Sequence[int]) -> dict[int, float]:
            nonlocal at
            at += len(places)
            return dict(zip(places, numbers[at - len(places) : at], strict=True))

        everything = range(len(self.watched))
        norms, idle = take(self._followed), take(self._followed)
        norms.update(take(self._others))
        changed, along, size = take(everything), take(everything), take(everything)
        pushed, stays = take(self._half), take(self._half)
        self._exact.update(i for i, rows in idle.items() if 2 * rows > self.watched[i].rows)
        sizes = tuple(size.values())
        undone = sizes == self._sizes and self._sample.as_before()  # the second waits for the device: only where it may be
        self._sizes = sizes
        found = {}
        for i, one in enumerate(self.watched):
            dw, w = changed[i], size[i]
            found[one.place] = Row(
                gradient=None if i in self._without else norms[i],
                weight=math.sqrt(w * self._whole[i] / self._sample.sizes[i]) if w >= 0 else math.nan,
                ratio=math.sqrt(dw / w) if w > 0 and dw >= 0 else math.nan if w else None,
                along=along[i] / math.sqrt(dw * w) if 0 < dw * w < math.inf else None,
                idle=int(idle.get(i, 0)),
                still=stays[i] / pushed[i] if pushed.get(i) else None,
            )
        return found, undone

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
            table = gradient.reshape(self.watched[i].rows, -1)
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
        parts = moves.split(self._sample.sizes)  # type: ignore[no-untyped-call]
        for k, i in enumerate(self._half):
            gradient = self._tensors[i].grad
            if gradient is not None and gradient.layout == torch.strided and gradient.stride() == self._tensors[i].stride():
                there = entries(gradient.detach()) != 0
                pushed[k] = there.sum().double()
                stays[k] = (there & (parts[i] == 0)).sum().double()
        return torch.stack(pushed), torch.stack(stays)


def _values(gradient: torch.Tensor) -> torch.Tensor:
    values = gradient.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    values = plain(values)
    return values.float() if values.dtype in HALF else values
