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


Groups = tuple[tuple[int, ...], ...]


def differing(rows: Sequence[Sequence[Row]]) -> list[tuple[Groups, float] | None]:
    """Per tensor the groups of ranks whose copies agree, and how far apart they are; None where all agree.

    Args:
        rows: per rank, per tensor [which part of it lies there, its projection, its norm].
    """
    return [_apart([rank[i] for rank in rows]) for i in range(len(rows[0]))]


def _apart(rows: Sequence[Row]) -> tuple[Groups, float] | None:
    found: list[tuple[int, ...]] = []
    largest = 0.0
    for key in {row[0] for row in rows}:
        copies = [rank for rank, row in enumerate(rows) if row[0] == key]
        groups: list[list[int]] = []
        for rank in copies:
            alike = next((group for group in groups if _off(rows[group[0]], rows[rank]) <= _ROUNDING), None)
            groups.append([rank]) if alike is None else alike.append(rank)
        if len(groups) > 1:
            most = max(groups, key=len)[0]
            found += map(tuple, groups)
            largest = max(largest, *(_off(rows[most], rows[rank]) for rank in copies))
    return (tuple(sorted(found, key=lambda group: (-len(group), group))), largest) if found else None


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
        apart = _apart([[row[0], row[2], row[3]] for row in rows])
        if apart is not None:
            disagreements.append(Disagreement(name, "gradient", *apart))
        parts = {row[0]: row[2] for row in rows}  # one of each part
        mean = sum(rank[i][1] for rank in before) / size
        norm = math.hypot(*(rank[i][2] for rank in before)) / size
        if norm and abs(mean) > _LEAST * norm and apart is None:
            reductions.append((norm, Reduction(name, sum(parts.values()) / mean)))
    reductions.sort(key=lambda one: -one[0])
    return Compared(disagreements, tuple(one for _, one in reductions[:_MOST]), tuple(uneven))


def _without(rows: Sequence[Sequence[Row]], i: int) -> tuple[int, ...]:
    lost = tuple(rank for rank, row in enumerate(rows) if row[i][0] == NOTHING)
    return lost if len(lost) < len(rows) else ()
