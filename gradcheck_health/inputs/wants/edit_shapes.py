"""Edits of shapes that a wish suggests, the likeliest first."""

from __future__ import annotations

from dataclasses import replace

from gradcheck_health.inputs.observation.joined_dimensions import Sum
from gradcheck_health.inputs.observation.tracer import ArgumentPaths
from gradcheck_health.inputs.plan import Edit, Leaf, Path, Plan
from gradcheck_health.inputs.wants.edit_sums import exactly, summed
from gradcheck_health.inputs.wants.want import Want

_BATCH = 4.5
"""What it costs to change the number of samples, which no layer asks for but by chance."""
_CHANNELS = 4
"""Most images have no more."""


def editable(plan: Plan, origin: ArgumentPaths) -> list[tuple[Path, Leaf]]:
    """Arguments behind a tensor whose shape and kind nobody gave."""
    return [(path, leaf) for path, leaf in _leaves(plan, origin) if not leaf.fixed]


def redrawable(plan: Plan, origin: ArgumentPaths) -> list[tuple[Path, Leaf]]:
    """Arguments behind a tensor whose values nobody gave, whoever gave their shape."""
    return [(path, leaf) for path, leaf in _leaves(plan, origin) if not leaf.drawn]


def _leaves(plan: Plan, origin: ArgumentPaths) -> list[tuple[Path, Leaf]]:
    found = ((path, plan.get(path)) for path in sorted(origin.paths, key=repr))
    return [(path, leaf) for path, leaf in found if isinstance(leaf, Leaf)]


def sized(plan: Plan, want: Want, origin: ArgumentPaths) -> list[Edit]:
    tensor = want.tensor
    assert tensor is not None
    if not -tensor.dim() <= want.dim < tensor.dim():
        return []
    dim = want.dim % tensor.dim()
    got = tensor.shape[dim]
    value = want.value if want.what != "multiple" else -(-got // want.value) * want.value
    if value <= 0 or value > 1 << 20:
        return []
    edits: list[Edit] = []
    exact = origin.layout[dim] if origin.layout is not None else None
    if isinstance(exact, Sum) and exact.terms:
        return summed(plan, exact, value, want)
    if isinstance(exact, tuple):
        edits += _set(plan, exact[0], exact[1], value, want.cost, want.why)
        deeper = _deepened(plan, exact[0], exact[1], value, want) if tensor.dim() == 1 else []
        edits += deeper
        leaf = plan.get(exact[0])
        if want.what == "size" and isinstance(leaf, Leaf) and leaf.kind != "int" and not leaf.fixed and not deeper:
            edits += _swapped(plan, exact[0], leaf, exact[1], value, want)
    else:
        for path, leaf in editable(plan, origin):
            for i, size in enumerate(plan.shape(leaf)):
                if size == got:
                    edits += _set(plan, path, i, value, want.cost + 0.5, want.why)
        if want.what == "size":
            edits += _affine(plan, want, origin, got, value)
            edits += _flattened(plan, want, origin, got, value)
    return edits


def _affine(plan: Plan, want: Want, origin: ArgumentPaths, got: int, value: int) -> list[Edit]:
    """The size was put together from others by concatenation (a sum) or repetition (a multiple): change the parts."""
    # With x of 5 features and y of 3, `linear(torch.cat([x, y], -1))` got 8 and wants 12: one of the two has to grow by the
    # difference (x of 9, or y of 7), or, if what it got was a multiple of that size, in proportion. All parts may also grow
    # alike, or share it evenly.
    edits: list[Edit] = []
    # space to depth multiplies the channels of an image; its sides are for the solver
    channel = want.tensor is not None and want.tensor.dim() > 2 and want.dim % want.tensor.dim() == 1
    ends = [
        (path, leaf, 1 if len(leaf.dims) > 3 else len(leaf.dims) - 1, plan.shape(leaf)[1 if len(leaf.dims) > 3 else -1])
        for path, leaf in editable(plan, origin)
        if len(leaf.dims) > 1 and (len(leaf.dims) < 4 or len(origin.paths) > 1 or channel)
    ]
    for number, (path, _, i, size) in enumerate(reversed(ends)):
        for extra, target in enumerate((size + value - got, size * value // got if got and size * value % got == 0 else 0)):
            if target > 0 and target != value:
                edits += _set(plan, path, i, target, want.cost + 0.6 + 0.1 * number + 0.15 * extra, want.why)[:2]
    for path, leaf in editable(plan, origin):
        size = plan.shape(leaf)[1] if len(leaf.dims) == 4 else 0
        if size and got and size * value % got == 0 and (target := size * value // got) != size and target <= _CHANNELS:
            # a patch of the image, flattened: as many numbers as its sides and channels make
            edits += _set(plan, path, 1, target, want.cost + 0.2, want.why)[:1]
    share = [end for end in ends if end[3] == ends[0][3]] if ends else []
    alike = len(ends) > 1 and share == ends and len({leaf.why for _, leaf, _, _ in ends}) == 1
    for group in (share, ends):
        if len(group) < 2:
            continue
        even = plan
        for path, _, i, _ in group:
            current = even.get(path)
            target = value // len(group) if group is ends else group[0][3] + (value - got) // len(group)
            if isinstance(current, Leaf) and target > 0:
                even = even.put(
                    path,
                    replace(current, dims=(*current.dims[:i], target, *current.dims[i + 1 :]), why=want.why or current.why),
                )
        # what was guessed alike stays alike where it can
        edits.append(Edit(even, want.cost + (0.55 if alike and (value - got) % len(group) == 0 else 0.8), want.why))
    return edits


def _flattened(plan: Plan, want: Want, origin: ArgumentPaths, got: int, value: int) -> list[Edit]:
    """What was wanted came once for every step: there are none."""
    edits = []
    for path, leaf in editable(plan, origin):
        if leaf.rank() == 3 and leaf.dims[1] == "T" and got == value * plan.size("T"):
            new = replace(leaf, dims=(leaf.dims[0], leaf.dims[2]), why=want.why or leaf.why)
            edits.append(Edit(plan.put(path, new), want.cost, want.why))
    return edits


def _deepened(plan: Plan, path: Path, index: int, value: int, want: Want) -> list[Edit]:
    """Features were wanted of a vector of samples: an axis is missing, the features of x[:, t], or what x.sum(1) went over."""
    leaf = plan.get(path)
    if want.what != "size" or not isinstance(leaf, Leaf) or leaf.kind != "float" or leaf.fixed:
        return []
    if index >= len(leaf.dims) or leaf.dims[index] != "B":
        return []
    edits = []
    for extra, dims in enumerate(
        ((*leaf.dims, value), (leaf.dims[0], "T", *leaf.dims[1:])) if len(leaf.dims) > 1 else ((*leaf.dims, value),)
    ):
        new = replace(leaf, dims=dims, why=want.why or leaf.why)
        edits.append(Edit(plan.put(path, new), want.cost + 0.3 + 0.2 * extra, want.why))
    return edits


def _swapped(plan: Plan, path: Path, leaf: Leaf, index: int, value: int, want: Want) -> list[Edit]:
    """The wanted size is there, in another dimension: the axes belong the other way round."""
    shape = plan.shape(leaf)
    edits = []
    for other, size in enumerate(shape):
        if other != index and size == value and leaf.dims[other] != "B":
            dims = list(leaf.dims)
            dims[index], dims[other] = dims[other], dims[index]
            edits.append(
                Edit(plan.put(path, replace(leaf, dims=tuple(dims), why=want.why or leaf.why)), want.cost - 0.1, want.why)
            )
    return edits


def _set(plan: Plan, path: Path, index: int, value: int, cost: float, why: str) -> list[Edit]:
    leaf = plan.get(path)
    if not isinstance(leaf, Leaf) or leaf.fixed or index >= len(leaf.dims):
        return []
    dim = leaf.dims[index]
    dims = exactly(leaf, index, value)
    alone = Edit(plan.put(path, replace(leaf, dims=dims, why=why or leaf.why)), cost + (2 if dim == "B" else 0), why)
    if isinstance(dim, int):
        # arguments that share a feature size were guessed from the same layer: change them together as a second try
        same = [(p, other) for p, other in plan.leaves() if p != path and dim in other.dims and not other.fixed and dim > 1]
        together = alone.plan
        for p, other in same:
            together = together.put(p, replace(other, dims=tuple(value if d == dim else d for d in other.dims)))
        return [alone, Edit(together, cost + 0.4, why)] if same else [alone]
    shared = sum(dim in other.dims for _, other in plan.leaves()) > 1
    joint = Edit(plan.resize(**{dim: value}), cost + (_BATCH if dim == "B" else 0.0), why)
    if dim in ("H", "W"):
        both = Edit(plan.resize(H=value, W=value), cost - 0.05, why)
        return [both, replace(joint, cost=cost + 0.3), alone]
    if not shared:
        return [joint, replace(alone, cost=cost + 0.6)]
    return [joint, replace(alone, cost=cost + 0.2)]
