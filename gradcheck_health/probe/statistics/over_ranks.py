"""The statistics of whole tensors from those of their parts on the ranks: a few numbers a tensor, in one collective operation.

Nothing is ever gathered but these numbers. Along an axis of the device mesh on which a tensor is only copied nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from gradcheck_health.model.distributed.kinds import is_sharded
from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.model.distributed.shards import local
from gradcheck_health.records.evidence import Twins
from gradcheck_health.records.measurements import TensorStats

_NOTHING = -1.0
"""Instead of a largest value that was not searched for, and of the entries of a tensor that is not there."""
_PARTS = slice(0, 5), slice(5, 10), slice(10, 14)
"""Of a row: the values, the gradient, and the equal units of a parameter."""
Row = Sequence[float]
_Axis = tuple[str, Any]
"""The name of a process group, and the group: the ranks along one axis of a device mesh."""


def spread_over(tensor: torch.Tensor | None) -> list[_Axis]:
    """The axes of its mesh along which each rank holds another part of it."""
    if tensor is None or not is_sharded(tensor):
        return []
    sharded: Any = tensor
    mesh = sharded.device_mesh
    return [
        ((group := mesh.get_group(axis)).group_name, group)
        for axis, placement in enumerate(sharded.placements)
        if not placement.is_replicate() and not placement.is_partial() and mesh.size(axis) > 1
    ]


def of_whole_tensors(
    tensors: Sequence[torch.Tensor | None],
    values: Sequence[TensorStats | None],
    gradients: Sequence[TensorStats | None],
    twins: Sequence[Twins],
    names: Sequence[str],
) -> tuple[list[TensorStats | None], list[TensorStats | None], tuple[Twins, ...]]:
    """Statistics of whole parameters, the same on all ranks that hold a part: of values, of gradients, and of equal units.

    Args:
        tensors: the parameters; each rank has them in the same order. What follows is about the parts that this rank holds.
        values, gradients: one for each parameter; None where there is nothing: the whole has nothing only if no part has any.
        twins: of the parameters (by their `names`) that have equal units.
    """
    known = {one.parameter: one for one in twins}
    rows = [
        (*stats_row(value), *stats_row(gradient), *_twin_row(known.get(name), tensor))
        for tensor, value, gradient, name in zip(tensors, values, gradients, names, strict=True)
    ]
    axes = [spread_over(tensor) for tensor in tensors]
    for name, group in dict(axis for found in axes for axis in found).items():
        along = [i for i, found in enumerate(axes) if any(axis == name for axis, _ in found)]
        parts = gathered([rows[i] for i in along], group)
        for i, told in zip(along, zip(*parts, strict=True), strict=True):
            rows[i] = (
                *merged([row[:5] for row in told]),
                *merged([row[5:10] for row in told]),
                *_one([row[10:] for row in told]),
            )
    equal = (_twins(name, row[10:]) for name, row in zip(names, rows, strict=True))
    return (
        [stats_of(row[:5]) for row in rows],
        [stats_of(row[5:10]) for row in rows],
        tuple(one for one in equal if one is not None),
    )


def from_all_ranks(rows: Sequence[Row]) -> Sequence[Sequence[Row]]:
    """Per rank of the whole group its rows, of which each rank has as many."""
    import torch.distributed as dist

    return gathered(rows, dist.group.WORLD) if rows else [[] for _ in range(dist.get_world_size())]


def gathered(rows: Sequence[Row], group: Any) -> list[list[Row]]:
    """Per rank of the group its rows."""
    import torch.distributed as dist

    device = "cpu" if "gloo" in dist.get_backend(group) else torch.device("cuda", torch.cuda.current_device())
    mine = torch.tensor(rows, dtype=torch.float64, device=device)
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    with jointly("the statistics of the parts"):
        dist.all_gather(parts, mine, group=group)
    return [part.tolist() for part in parts]


def stats_row(stats: TensorStats | None) -> Row:
    """(entries, norm, largest, NaN, Inf)."""
    if stats is None:
        return (_NOTHING, 0.0, _NOTHING, 0.0, 0.0)
    return (stats.numel, stats.norm, _NOTHING if stats.max is None else stats.max, stats.nan, stats.inf)


def stats_of(row: Row) -> TensorStats | None:
    """The inverse."""
    numel, norm, largest, nan, inf = row
    if numel == _NOTHING:
        return None
    rms = norm / math.sqrt(numel) if numel else 0.0
    return TensorStats(int(numel), rms, None if largest == _NOTHING else largest, int(nan), int(inf))


def merged(rows: Sequence[Row]) -> Row:
    """Of the parts of a tensor: that of the whole."""
    held = [row for row in rows if row[0] != _NOTHING]
    if not held:
        return rows[0]
    unknown = any(row[2] == _NOTHING for row in held if row[0])
    return (
        sum(row[0] for row in held),
        math.hypot(*(row[1] for row in held)),  # scales internally: squares of values near 1e-200 must not vanish
        _NOTHING if unknown else max(row[2] for row in held),
        sum(row[3] for row in held),
        sum(row[4] for row in held),
    )


def _twin_row(twins: Twins | None, tensor: torch.Tensor | None) -> Row:
    """(units that this rank has, units that are alike, all of them silent, the one value of all entries)."""
    if twins is not None:
        return (twins.units, twins.alike, float(twins.silent), _NOTHING if twins.size is None else twins.size)
    units = 0 if tensor is None or not is_sharded(tensor) else local(tensor).shape[:1].numel()
    return (units, 0.0, 0.0, _NOTHING)


def _one(rows: Sequence[Row]) -> Row:
    held = [row for row in rows if row[0]]
    sizes = {row[3] for row in held}
    return (
        sum(row[0] for row in held),
        sum(row[1] for row in held),
        float(bool(held) and all(row[2] for row in held)),
        sizes.pop() if len(sizes) == 1 else _NOTHING,
    )


def _twins(name: str, row: Row) -> Twins | None:
    units, alike, silent, size = row
    return Twins(name, int(units), int(alike), bool(silent), None if size == _NOTHING else size) if alike or silent else None
