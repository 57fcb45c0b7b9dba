"""Edits of sizes that are put together by concatenation: which of the arguments gets how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gradcheck_health.inputs.observation.joined_dimensions import Entry, Sum
from gradcheck_health.inputs.plan import Dim, Edit, Leaf, Plan
from gradcheck_health.inputs.wants.want import Want

_SINGLE, _COLOURS = 1, 3


def summed(plan: Plan, exact: Sum, value: int, want: Want) -> list[Edit]:
    """The plans in which the sum is `value`: all parts alike, one part alone, a picture beside one channel."""
    free = [(entry, times) for entry, times in exact.terms if _leaf(plan, entry) is not None]
    stuck = sum(times * _size(plan, entry) for entry, times in exact.terms if _leaf(plan, entry) is None)
    left = value - exact.rest - stuck
    edits: list[Edit] = []
    for number, sizes in enumerate(_shares(plan, free, left)):
        new = plan
        for entry, size in sizes.items():
            leaf = _leaf(new, entry)
            assert leaf is not None
            new = new.put(entry[0], replace(leaf, dims=exactly(leaf, entry[1], size), why=want.why or leaf.why))
        if new.key() != plan.key():
            edits.append(Edit(new, want.cost - 0.1 + 0.15 * number, want.why))
    return edits


def exactly(leaf: Leaf, index: int, size: int) -> tuple[Dim, ...]:
    """The axes, one of which has a size that a layer asked for.

    Where that is the length of one channel or more, no convolution took them first: they are features, and steps before them.
    """
    if leaf.dims[2:] == ("L",) and index == 2:
        return (leaf.dims[0], "T", size)
    return (*leaf.dims[:index], size, *leaf.dims[index + 1 :])


def _shares(plan: Plan, free: list[tuple[Entry, int]], left: int) -> Iterator[dict[Entry, int]]:
    times = dict(free)
    if not times or left <= 0:
        return
    if len(times) == 1:
        ((entry, count),) = times.items()
        if left % count == 0:
            yield {entry: left // count}
        return
    entries = list(times)
    image = any(len(leaf.dims) > 3 for entry in entries if (leaf := _leaf(plan, entry)) is not None)
    for entry in reversed(entries) if image and len(entries) == 2 else ():
        # a picture, and one map beside it
        (other,) = (one for one in entries if one != entry)
        for size in (_SINGLE, _COLOURS):
            rest = left - size * times[entry]
            if rest > 0 and rest % times[other] == 0 and (rest // times[other] == _COLOURS or size == _COLOURS):
                yield {entry: size, other: rest // times[other]}
    total = sum(times.values())
    if left % total == 0:
        yield dict.fromkeys(entries, left // total)
    for entry in reversed(entries):
        rest = left - sum(times[other] * _size(plan, other) for other in entries if other != entry)
        if rest > 0 and rest % times[entry] == 0:
            yield {entry: rest // times[entry]}
    if left >= total > 0 and left % total and times[entries[-1]] == 1:
        each = left // total
        yield {**dict.fromkeys(entries, each), entries[-1]: left - each * (total - 1)}


def _leaf(plan: Plan, entry: Entry) -> Leaf | None:
    """The argument, where its shape was made up."""
    leaf = plan.get(entry[0])
    return leaf if isinstance(leaf, Leaf) and not leaf.fixed and entry[1] < len(leaf.dims) else None


def _size(plan: Plan, entry: Entry) -> int:
    leaf = plan.get(entry[0])
    return plan.shape(leaf)[entry[1]] if isinstance(leaf, Leaf) and entry[1] < len(leaf.dims) else 0
