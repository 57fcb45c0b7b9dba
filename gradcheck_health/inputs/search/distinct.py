"""Lengths that no size of another kind equals by chance: a rule that looks for the time in an output must not find features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from gradcheck_health.inputs.plan import Dim, Leaf, Path, Plan
from gradcheck_health.inputs.search.batch_size import STEPS

_TRIALS = 2


def told_apart(model: nn.Module, plan: Plan) -> Iterator[Plan]:
    """The plan with another length where one equals a size of another kind, a few times; none where nothing does."""
    lengths = [(path, leaf) for path, leaf in plan.leaves() if _is_steps(leaf)]
    for size in dict.fromkeys(plan.shape(leaf)[1] for _, leaf in lengths):
        together = [(path, leaf) for path, leaf in lengths if plan.shape(leaf)[1] == size]
        if size not in _others(plan, {path for path, _ in together}):
            continue
        taken = _others(plan, set()) | {size for p in model.parameters() if not nn.parameter.is_lazy(p) for size in p.shape}
        free = [count for count in (*STEPS, *range(7, 12)) if count not in taken and count <= 2 * size]
        yield from (_relabelled(plan, together, count) for count in free[:_TRIALS])
        return


def _is_steps(leaf: Leaf) -> bool:
    """Tokens of a text, or features of steps, whose number nobody gave."""
    usual = leaf.dims[:1] == ("B",) and leaf.rank() == (2 if leaf.kind == "int" else 3)
    return usual and not leaf.fixed and (leaf.dims[1] == "T" or isinstance(leaf.dims[1], int))


def _others(plan: Plan, lengths: set[Path]) -> set[int]:
    """Sizes of all axes but those of the samples, and the lengths of these arguments."""
    return {
        plan.size(dim)
        for path, leaf in plan.leaves()
        for place, dim in enumerate(leaf.dims)
        if place and dim != "T" and (place != 1 or path not in lengths)
    }


def _relabelled(plan: Plan, leaves: list[tuple[Path, Leaf]], count: int) -> Plan:
    if any(leaf.dims[1] == "T" for _, leaf in leaves):
        plan = plan.resize(T=count)
    for path, leaf in leaves:
        if leaf.dims[1] == "T":
            continue
        dims: tuple[Dim, ...] = (leaf.dims[0], count, *leaf.dims[2:])
        plan = plan.put(path, replace(leaf, dims=dims))
    return plan
