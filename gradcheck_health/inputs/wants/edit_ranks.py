"""Edits of ranks that a wish suggests: which axis is new, and what it holds."""

from __future__ import annotations

from dataclasses import replace

from gradcheck_health.inputs.observation.tracer import ArgumentPaths
from gradcheck_health.inputs.plan import USUAL, Dim, Edit, Leaf, Plan
from gradcheck_health.inputs.wants.edit_shapes import editable
from gradcheck_health.inputs.wants.want import Want

_IMAGES = 2
"""Images that go with one text."""
_GROUPS = (5, 2)
"""Groups of pictures, and pictures of a group."""


def ranked(plan: Plan, want: Want, origin: ArgumentPaths) -> list[Edit]:
    tensor = want.tensor
    assert tensor is not None
    edits: list[Edit] = []
    values = want.value if isinstance(want.value, tuple) else (want.value,)
    for path, leaf in editable(plan, origin):
        for number, rank in enumerate(values):
            step = rank - tensor.dim()
            target = leaf.rank() + step
            if step == 0 or target < 0 or target > 7:
                continue
            # the images of a text are not as many as its words
            text = leaf.rank() >= 4 and any("T" in other.dims and other.kind == "int" for _, other in plan.leaves())
            template = named(plan, _template(want, origin, target))
            for extra, dims in enumerate(_dims_of_rank(leaf, target, template, _IMAGES if text else "T")):
                new = replace(leaf, dims=dims, why=want.why or leaf.why)
                edits.append(Edit(plan.put(path, new), want.cost + 0.3 * number + 0.4 * extra, want.why))
    return edits


def stepwise(plan: Plan) -> list[Plan]:
    """The plan in which every argument of features has steps besides."""
    new = plan
    for path, leaf in plan.leaves():
        if leaf.kind == "float" and not leaf.fixed and leaf.rank() == 2 and leaf.dims[0] == "B":
            new = new.put(path, replace(leaf, dims=("B", "T", leaf.dims[1])))
    return [new] if new is not plan else []


def named(plan: Plan, template: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The template with the names of sizes that occur in the plan; a number alone may be one of channels by chance."""
    used = [dim for _, leaf in plan.leaves() for dim in leaf.dims if isinstance(dim, str)]
    names = {plan.size(dim): dim for dim in reversed(used) if dim != "B"}
    whole = all(isinstance(dim, int) for dim in template)  # the shape of another tensor
    first: tuple[Dim, ...] = ("B",) if whole and template and template[0] == plan.size("B") else template[:1]
    return (*first, *(names.get(dim, dim) if isinstance(dim, int) else dim for dim in template[1:]))


def _template(want: Want, origin: ArgumentPaths, target: int) -> tuple[Dim, ...]:
    """The wanted dimensions without those that the model itself inserts on the way."""
    if len(want.template) == target:
        return want.template
    inserted = [i for i, entry in enumerate(origin.layout or ()) if not isinstance(entry, tuple)]
    kept = tuple(dim for i, dim in enumerate(want.template) if i not in inserted)
    return kept if len(kept) == target else ()


def _dims_of_rank(leaf: Leaf, rank: int, template: tuple[Dim, ...], steps: Dim) -> list[tuple[Dim, ...]]:
    """Likely dimensions of a tensor of another rank; `steps` of whatever has one axis more."""
    dims = leaf.dims
    options: list[tuple[Dim, ...]] = []
    if template:
        options.append(template)
    if rank > len(dims):
        more = rank - len(dims)
        spatial: tuple[Dim, ...] = _GROUPS if "H" in dims else ("H", "W")  # groups of pictures, or places
        middle: tuple[Dim, ...] = {1: (steps,), 2: spatial, 3: ("D", "H", "W")}.get(more, ("T",) * more)
        if dims and more == 1 and "B" not in dims:
            options.append(("B", *dims))  # a matrix for every sample
        if not dims:
            options.append(USUAL.get(rank, ("B",) * rank))
        elif "T" in dims and more == 1:
            options += [(*dims, 8) if leaf.kind == "float" else (*dims, 5), (dims[0], 5, *dims[1:])]
        elif leaf.kind == "float" and len(dims) >= 2:
            options += [(dims[0], *middle, *dims[1:]), (*dims, *middle)]
            if rank == 4:
                options.append(("B", 3, "H", "W"))
        else:
            options += [(*dims, *middle), (*dims, *(8 for _ in range(more)))]
    elif rank < len(dims):
        less = len(dims) - rank
        alone = [i for i, d in enumerate(dims) if i and d == 1]  # the one channel that the model puts in itself
        droppable = [i for i, d in enumerate(dims) if d in ("T", "H", "W", "D", "L", "P")] or list(range(1, len(dims)))
        droppable = [*alone, *(i for i in droppable if i not in alone)]
        kept = [d for i, d in enumerate(dims) if i not in droppable[:less]]
        if len(kept) == rank:
            options.append(tuple(kept))
        options += [dims[:rank], (*dims[:1], *dims[len(dims) - rank + 1 :])] if rank else [()]
    unique: list[tuple[Dim, ...]] = []
    for option in options:
        if len(option) == rank and option not in unique:
            unique.append(option)
    return unique
