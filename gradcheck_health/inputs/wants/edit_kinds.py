"""Edits of kinds, values and ranges that a wish suggests, the likeliest first."""

from __future__ import annotations

from dataclasses import replace

from gradcheck_health.inputs.observation.tracer import ArgumentPaths
from gradcheck_health.inputs.plan import Edit, Plan
from gradcheck_health.inputs.wants.edit_ranks import named
from gradcheck_health.inputs.wants.edit_shapes import editable, redrawable
from gradcheck_health.inputs.wants.want import Want


def rekinded(plan: Plan, want: Want, origin: ArgumentPaths) -> list[Edit]:
    edits = []
    for path, leaf in editable(plan, origin):
        if leaf.kind == want.value and not want.high:
            continue
        classes = want.value == "int" and (want.high or 0) > 2  # a mask of segments, not of true and false
        fill = leaf.fill if leaf.fill in ("mask", "padding", "causal", "lengths", "segments") and not classes else "normal"
        high = (want.high or leaf.high or 2) if want.value == "int" else None
        dims = leaf.dims
        options = [dims]
        if want.value == "int" and leaf.kind == "float" and len(dims) > 1 and isinstance(dims[-1], int):
            # ids carry no feature axis
            options = [dims[:-1] if len(dims) > 2 else (dims[0], "T"), dims]
        for extra, option in enumerate(options):
            new = replace(leaf, kind=want.value, fill=fill, high=high, low=0, dims=option, why=want.why or leaf.why)
            edits.append(Edit(plan.put(path, new), want.cost + 0.3 * extra, want.why))
    return edits


def alike(plan: Plan, want: Want, origin: ArgumentPaths) -> list[Edit]:
    """A tensor of the template's shape: class indices where a range is wanted, else floats; only for an argument itself."""
    found = editable(plan, origin)
    if origin.layout is None or len(found) != 1:
        return []
    path, leaf = found[0]
    # axes that the model itself inserts are none of the argument
    kept = [i for i, entry in enumerate(origin.layout) if isinstance(entry, tuple)]
    if [origin.layout[i] for i in kept] != [(path, place) for place in range(len(leaf.dims))]:
        return []
    inserted = {i for i, entry in enumerate(origin.layout) if i not in kept}
    want = replace(want, template=tuple(dim for i, dim in enumerate(want.template) if i not in inserted))
    kind, fill = ("int", "normal") if want.high else ("float", want.value)
    new = replace(leaf, dims=named(plan, want.template), kind=kind, fill=fill, low=0, high=want.high, why=want.why)
    return [Edit(plan.put(path, new), want.cost, want.why)]


def narrowed(plan: Plan, want: Want, origin: ArgumentPaths) -> list[Edit]:
    edits = []
    for path, leaf in redrawable(plan, origin):
        current = plan.size(leaf.high) if leaf.high is not None else 2
        exact = origin.layout is not None
        for value in (want.value, current // 2, 1):
            if leaf.kind == "int" and 0 < value < current:
                cost = want.cost + (0 if exact and value == want.value else 0.5)
                edits.append(Edit(plan.put(path, replace(leaf, high=value, low=0, why=want.why or leaf.why)), cost, want.why))
    return edits
