"""Finding units of a layer with equal weights and equal gradients: every optimizer step moves them alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

import torch
from torch.nn.parameter import is_lazy

from gradcheck_health.model.distributed.shards import local
from gradcheck_health.model.names import NamedParameter
from gradcheck_health.probe.graph.first_layer import takers
from gradcheck_health.probe.graph.graph import Graph
from gradcheck_health.records.evidence import Twins

_ROW_LAYERS = ("Linear", "Conv", "LSTM", "GRU", "RNN", "Bilinear", "MultiheadAttention")
_CORNER = 3
"""Entries along each axis that the first, cheap test takes: of random weights no two units agree in them."""
_BINS = 8
"""Bins for each unit in the first, cheap test."""
_ODD = 0x2545F4914F6CDD1D
_CLASSES = 32
_ADDS = frozenset({"Add", "Sub", "Rsub"})
_COLUMNS = 256
"""Entries of a unit's gradient that are compared, at most."""
_TOLERANCE = 1e-3
"""Relative difference up to which two gradients are the same: kernels add up the rows of a matrix in different orders."""
_CROWD = 0.3
"""Relative distance from their mean within which the gradients of many equal units are as good as the same.

Behind other biases, or in front of an activation that bends, gradients of equal rows differ by a tenth, and training takes ten
times as many steps as from a random start. Those of random rows differ by their whole length.
"""
_MANY = 8
"""Units, and entries of each, from which a crowd says something: a few numbers lie near one another by chance."""
_APART = 0.1
"""Relative difference from which steps have told rows apart that were equal before them."""


def twins(named: Sequence[NamedParameter], graph: Graph | None, equal: Collection[str] | None = None) -> tuple[Twins, ...]:
    """The weights at least two of whose units, of those that lie in this process, are alike.

    A unit is a row of a Linear, a channel of a convolution.
    A table that is added has no units: biases of positions that no input distinguishes get equal gradients, and should.

    Args:
        equal: after steps, names of the weights some of whose units were equal before, and not zero. Of them units whose values
            are near are alike, too: other biases behind equal weights let a few samples through one unit and not the other.
            Of weights that were zero only exact values count: the first step behind a zero head treats all units alike.
    """
    suspects = [
        (entry, local(entry.tensor.grad), axis)
        for entry in named
        if entry.role == "weight"
        and not is_lazy(entry.tensor)
        and entry.tensor.grad is not None
        and _dense(local(entry.tensor))
        for axis in _unit_axes(entry)
    ]
    with torch.no_grad():
        crowded = _suspects([(local(entry.tensor).detach(), axis) for entry, _, axis in suspects])
        found = [
            (entry, _compare(entry, gradient, axis, None if equal is None else entry.name in equal))
            for (entry, gradient, axis), suspicious in zip(suspects, crowded, strict=True)
            if (suspicious or (equal and entry.name in equal)) and gradient is not None and _dense(gradient)
        ]
    return tuple(one for entry, one in found if (one.alike or one.silent) and not _is_added(entry, graph))


def _is_added(entry: NamedParameter, graph: Graph | None) -> bool:
    if graph is None:
        return False
    taken = [graph.nodes[i] for i in takers(graph).get(id(entry.tensor), ())]
    return bool(taken) and all(node is not None and node.name().partition("Backward")[0] in _ADDS for node in taken)


def _dense(tensor: torch.Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.is_floating_point() and not tensor.is_meta and tensor.numel() > 0


def _unit_axes(entry: NamedParameter) -> Iterator[int]:
    """The axes along which the units of a weight lie; of a parameter whose use is not known the first and the last."""
    shape = local(entry.tensor).shape
    real = [axis for axis, size in enumerate(shape) if size > 1]
    axes = _rows(entry) or ((real[0], real[-1]) if len(real) > 1 else ())
    yield from (axis for axis in axes if shape[axis] > 1)


def _rows(entry: NamedParameter) -> tuple[int, ...]:
    """The axis along which the units of a layer of torch's lie; none of any other parameter."""
    if "Transpose" in entry.kind:
        return (1,)
    return (0,) if any(name in entry.kind for name in _ROW_LAYERS) else ()


def _suspects(weights: Sequence[tuple[torch.Tensor, int]]) -> list[bool]:
    """Per weight: half of its units or more seem to agree with another one of it in a few entries."""
    alike: dict[tuple[torch.device, int], list[tuple[int, torch.Tensor]]] = defaultdict(list)
    for i, (weight, axis) in enumerate(weights):
        corner = _corner(weight, axis)
        alike[corner.device, corner.shape[0]].append((i, corner))
    seems = [False] * len(weights)
    for members in alike.values():
        for (i, _), suspicious in zip(members, _crowded([corner for _, corner in members]), strict=True):
            seems[i] = suspicious
    return seems


def _corner(weight: torch.Tensor, axis: int) -> torch.Tensor:
    """[a few entries, units]."""
    corner = weight.movedim(axis, 0) if axis else weight
    for later in range(1, corner.dim()):
        corner = corner.narrow(later, 0, min(_CORNER, corner.shape[later]))
    return corner.flatten(1).T


def _crowded(corners: Sequence[torch.Tensor]) -> list[bool]:
    """Whether half of the columns of a corner share a bin with another one: equal ones do, an eighth of others by chance."""
    # Units are compared through a hash, for all layers of a model in one pass: comparing them exactly layer by layer costs
    # as much as the backward pass of a small model. A unit is reduced to one weighted sum of its corner, whose bits are
    # mixed (shift, multiply by an odd constant) and taken modulo 8 bins a unit, each layer with bins of its own. Equal
    # units always fall into one bin. Unequal ones meet by chance: 64 units in 512 bins share one with probability 1 - (1 -
    # 1/512)^63 = 0.12, far from half.
    columns = torch.cat(list(corners), 1).double()
    factors = torch.linspace(1.0, 2.0, len(columns), dtype=torch.float64, device=columns.device).sqrt()
    mixed = (columns * factors.unsqueeze(1)).sum(0) + 0.0  # no negative zeros: their bits differ
    units = torch.tensor([corner.shape[1] for corner in corners], device=columns.device)
    owner = torch.repeat_interleave(units)
    bits = mixed.view(torch.int64)
    room = _BINS * units
    bins = ((bits ^ bits >> 29) * _ODD >> 20).remainder(room[owner]) + (room.cumsum(0) - room)[owner]
    shared = torch.bincount(bins)[bins] > 1
    crowded: list[bool] = (2 * torch.bincount(owner[shared], minlength=len(corners)) >= units).tolist()
    return crowded


def _compare(entry: NamedParameter, gradient: torch.Tensor, axis: int, moved: bool | None) -> Twins:
    rows, slopes = (t.detach().movedim(axis, 0).flatten(1) for t in (local(entry.tensor), gradient))
    if slopes.shape[1] > _COLUMNS:  # those that hold most of it
        slopes = slopes[:, slopes.abs().sum(0).topk(_COLUMNS).indices]
    slopes = slopes.double()
    groups = [slopes[group] for group in (_near(rows, _APART) if moved else _equal(rows))]
    same = sum(len(one) for group in groups for one in _near(group, _TOLERANCE) if bool(group[one].any()))
    low, high = (float(bound) for bound in rows.abs().aminmax())
    started = high > 0.0 if moved is None else moved
    alike = max([same, *map(_crowd, groups)]) if started and axis in _rows(entry) else same
    return Twins(entry.name, rows.shape[0], alike, silent=not bool(slopes.any()), size=high if low == high else None)


def _equal(rows: torch.Tensor) -> Iterator[torch.Tensor]:
    """The places of the rows that hold one and the same, group by group, the first 32."""
    _, groups = torch.unique(rows, dim=0, return_inverse=True)
    for group in range(min(int(groups.max()) + 1, _CLASSES)):
        yield (groups == group).nonzero().squeeze(1)


def _crowd(slopes: torch.Tensor) -> int:
    """How many of many gradients lie near their mean."""
    if min(slopes.shape) < _MANY:
        return 0
    mean = slopes.mean(0)
    near = torch.linalg.vector_norm(slopes - mean, dim=1) < _CROWD * torch.linalg.vector_norm(mean)
    return int(near.sum())


def _near(rows: torch.Tensor, tolerance: float) -> Iterator[torch.Tensor]:
    """The places of rows that lie within a share of its length of a first one, two or more, group by group, 32 of them."""
    left = _paired(torch.linalg.vector_norm(rows, dim=1), tolerance).nonzero().squeeze(1)
    for _ in range(_CLASSES):
        if len(left) < 2:
            break
        first = rows[left[0]]
        near = torch.linalg.vector_norm(rows[left] - first, dim=1) <= tolerance * torch.linalg.vector_norm(first)
        near[0] = True
        if int(near.sum()) > 1:
            yield left[near]
        left = left[~near]


def _paired(sizes: torch.Tensor, tolerance: float) -> torch.Tensor:
    """Which of these norms some other one comes near enough to: vectors of other lengths cannot be the same."""
    ordered, places = sizes.sort()
    near = ordered.diff() <= 2 * tolerance * ordered[1:]  # twice, for what rounding moves a norm
    paired = torch.zeros_like(places, dtype=torch.bool)
    paired[:-1] |= near
    paired[1:] |= near
    return torch.zeros_like(paired).index_put((places,), paired)
