"""A few numbers of every tensor on every rank, compared: copies that are no copies, gradients that were not averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck_health.records.ranks import Disagreement, Reach, Reduction

Row = Sequence[float]
NOTHING = -1.0
"""The first number of a gradient that did not arrive."""
_ROUNDING = 1e-4
"""Relative difference of two copies' projections up to which they are the same: sums in another order, a few steps of drift."""
_LEAST = 1e-3
"""Of the norm: a projection below it says nothing about a factor."""
_MOST = 32
"""Parameters whose factor is kept, those with the largest gradients."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What the gradients of all ranks show."""

    disagreements: list[Disagreement]
    reductions: tuple[Reduction, ...]
    uneven: tuple[Reach, ...]


def differing(rows: Sequence[Sequence[Row]]) -> list[tuple[tuple[int, ...], float] | None]:
    """Per tensor the ranks whose copy is another than most have, and how far off; None where all agree.

    Args:
        rows: per rank, per tensor [which part of it lies there, its projection, its norm].
    """
    return [_odd([rank[i] for rank in rows]) for i in range(len(rows[0]))]


def _odd(rows: Sequence[Row]) -> tuple[tuple[int, ...], float] | None:
    odd: list[int] = []
    largest = 0.0
    for key in {row[0] for row in rows}:
        copies = [(rank, row) for rank, row in enumerate(rows) if row[0] == key]
        agree = [[other for other, theirs in copies if _off(row, theirs) <= _ROUNDING] for _, row in copies]
        most = max(agree, key=len)
        odd += [rank for rank, _ in copies if rank not in most]
        first = next(row for rank, row in copies if rank in most)
        largest = max([largest, *(_off(row, first) for rank, row in copies if rank not in most)])
    return (tuple(sorted(odd)), largest) if odd else None


def _off(a: Row, b: Row) -> float:
    if not all(map(math.isfinite, (*a, *b))):
        return 0.0  # NaN is another rule's matter
    size = max(abs(a[2]), abs(b[2]))
    return max(abs(a[1] - b[1]), abs(a[2] - b[2])) / size if size else 0.0


def compared(
    names: Sequence[str], before: Sequence[Sequence[Row]], after: Sequence[Sequence[Row]], size: int, averages: bool
) -> Compared:
    """What came of the ranks' own gradients.

    Args:
        before: per rank, per parameter [it is there, projection, norm] of the gradient of the rank's own batch.
        after: [which part lies there, and the same] after backward brought them together; empty where that was not tried.
    """
    uneven = [Reach(name, lost) for i, name in enumerate(names) if (lost := _without(before, i))]
    disagreements: list[Disagreement] = []
    reductions: list[tuple[float, Reduction]] = []
    for i, name in enumerate(names):
        if not averages or not after or any(rank[i][0] == NOTHING for rank in before):
            continue
        rows = [rank[i] for rank in after]
        there = [row for row in rows if row[1] != NOTHING]
        if len(there) < len(rows):
            uneven.append(Reach(name, tuple(rank for rank, row in enumerate(rows) if row[1] == NOTHING), sharded=True))
            continue
        odd = _odd([[row[0], row[2], row[3]] for row in rows])
        if odd is not None:
            disagreements.append(Disagreement(name, "gradient", *odd))
        parts = {row[0]: row[2] for row in rows}  # one of each part
        mean = sum(rank[i][1] for rank in before) / size
        norm = math.hypot(*(rank[i][2] for rank in before)) / size
        if norm and abs(mean) > _LEAST * norm and odd is None:
            reductions.append((norm, Reduction(name, sum(parts.values()) / mean)))
    reductions.sort(key=lambda one: -one[0])
    return Compared(disagreements, tuple(one for _, one in reductions[:_MOST]), tuple(uneven))


def _without(rows: Sequence[Sequence[Row]], i: int) -> tuple[int, ...]:
    lost = tuple(rank for rank, row in enumerate(rows) if row[i][0] == NOTHING)
    return lost if len(lost) < len(rows) else ()
