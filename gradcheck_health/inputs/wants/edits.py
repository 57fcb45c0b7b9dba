"""From what a failed trial wanted to edits of the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gradcheck_health.inputs.observation.tracer import ArgumentPaths, Merge, Tracer
from gradcheck_health.inputs.plan import Edit, Leaf, Path, Plan
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.wants.containers import keyed
from gradcheck_health.inputs.wants.edit_kinds import alike, narrowed, rekinded
from gradcheck_health.inputs.wants.edit_ranks import ranked, stepwise
from gradcheck_health.inputs.wants.edit_shapes import editable, redrawable, sized
from gradcheck_health.inputs.wants.from_failure import explain
from gradcheck_health.inputs.wants.op_shapes import same_shape
from gradcheck_health.inputs.wants.value_domain import value_wants
from gradcheck_health.inputs.wants.want import Want

_CHANCE = 2.0
"""What an edit costs more that makes two sizes agree which have nothing to do with each other."""
_ALONE = 1.0
"""What other edits cost more where a convolution took one sample alone: what it flattens to then is of no use."""
_SCALABLE = ("B", "T", "H", "W", "D", "L", "A", "N", "E", "P")


@dataclass(frozen=True, slots=True)
class Measure:
    """A size at the failing operation that ought to be another."""

    got: int
    want: int
    paths: tuple[Path, ...]
    why: str = ""
    stretched: bool = False
    """As in `Want`."""


def propose(plan: Plan, tracer: Tracer, error: Exception | None, info: ModelInfo) -> tuple[list[Edit], dict[Any, Measure], str]:
    """Edits that may get further, the measures at the failing place, and that place in words."""
    mixing = [_merge_want(merge) for merge in tracer.merges[:1]]
    mixing += [Want("rank", tensor, value=tensor.dim() + 1, why=f"{name} along the batch") for tensor, name in tracer.across]
    for a, b, name in tracer.crossings[:1]:
        mixing += same_shape(a, b, name.strip("_"))
        pairs = ((b, a), (a, b)) if a.dim() != b.dim() else ()
        mixing += [Want("rank", one, value=other.dim(), why=name.strip("_")) for one, other in pairs]
    for name in tracer.products:
        mixing.append(Want("edit", why=f"{name.strip('_')} along the batch", cost=0.9, edit=stepwise))
    wants, place = ([], mixing[0].why if mixing else "values") if error is None else explain(plan, tracer, error, info)
    if error is not None and (alone := tracer.unbatched) is not None:  # a model that loops over the steps of clips
        wants = [replace(want, cost=want.cost + _ALONE) for want in wants]
        wants.append(Want("rank", alone, value=alone.dim() + 1, why="one sample alone", cost=1.0))
    wants = wants + mixing + list(value_wants(tracer, plan))
    edits: list[Edit] = []
    measures: dict[Any, Measure] = {}
    for number, want in enumerate(wants):
        if want.edit is not None:
            edits.extend(Edit(new, want.cost, want.why) for new in want.edit(plan))
            continue
        assert want.tensor is not None
        origin = tracer.origin(want.tensor)
        if origin is None:
            continue
        if _by_chance(want, origin, tracer, plan):
            want = replace(want, cost=want.cost + _CHANCE)
        edits.extend(_direct(plan, want, origin, info))
        measure = _measure(want, origin)
        if measure is not None:
            # the same line fails in several blocks: the place names the block
            key = (place, number)
            measures[key] = measure
            spatial = any({"H", "W", "L"} & set(leaf.dims) for _, leaf in editable(plan, origin))
            edits.append(Edit(plan, want.cost + (0.3 if spatial else 1.5), want.why, key))
    return edits, measures, place


def _by_chance(want: Want, origin: ArgumentPaths, tracer: Tracer, plan: Plan) -> bool:
    """Another axis would be of the size of the batch: the axes do not belong together, whatever their sizes."""
    if want.partner is None or want.tensor is None or not want.tensor.dim():
        return False
    other = tracer.origin(want.partner[0])

    def batch(found: ArgumentPaths | None, dim: int) -> bool:
        entry = found.layout[dim] if found is not None and found.layout is not None and dim < len(found.layout) else None
        leaf = plan.get(entry[0]) if isinstance(entry, tuple) else None
        return isinstance(entry, tuple) and entry[1] == 0 and isinstance(leaf, Leaf) and leaf.dims[:1] == ("B",)

    return batch(other, want.partner[1]) != batch(origin, want.dim)


def _merge_want(merge: Merge) -> Want:
    where = f"{merge.site[1].rsplit('/', 1)[-1]}:{merge.site[2]}"
    return Want("total", merge.tensor, value=merge.wanted, why=f"view of {merge.wanted} at {where}")


def _measure(want: Want, origin: ArgumentPaths) -> Measure | None:
    paths = tuple(sorted(origin.paths, key=repr))
    assert want.tensor is not None
    if want.what in ("size", "least", "multiple"):
        if want.tensor.dim() <= want.dim or want.dim < -want.tensor.dim():
            return None
        got = want.tensor.shape[want.dim]
        value = -(-got // max(want.value, 1)) * want.value if want.what == "multiple" else want.value
        return Measure(got, value, paths, want.why, want.stretched)
    if want.what == "total":
        return Measure(
            want.tensor.numel() // max(want.tensor.shape[0] if want.tensor.dim() else 1, 1), want.value, paths, want.why
        )
    return None


def _direct(plan: Plan, want: Want, origin: ArgumentPaths, info: ModelInfo) -> list[Edit]:
    """Edits that need no solving."""
    match want.what:
        case "size" | "least" | "multiple":
            return sized(plan, want, origin)
        case "rank":
            return ranked(plan, want, origin)
        case "kind":
            return rekinded(plan, want, origin)
        case "range":
            return narrowed(plan, want, origin)
        case "like":
            return alike(plan, want, origin)
        case "key":
            return [Edit(plan.put(path, keyed(info, want.value)), want.cost, want.why) for path, _ in editable(plan, origin)]
        case "fill":
            return [
                Edit(plan.put(path, replace(leaf, fill=want.value)), want.cost, want.why)
                for path, leaf in redrawable(plan, origin)
            ]
    return []


def scalable(plan: Plan, paths: tuple[Path, ...]) -> list[str]:
    """Names of the sizes that these arguments have, the likeliest culprit first."""
    found: list[str] = []
    for path in paths:
        leaf = plan.get(path)
        if isinstance(leaf, Leaf) and not leaf.fixed:
            found += [dim for dim in leaf.dims if isinstance(dim, str) and dim not in found]
    return sorted(found, key=lambda dim: "HWLDATPNEB".index(dim) if dim in _SCALABLE else 99)
