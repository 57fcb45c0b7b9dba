"""The `ArgumentOrigin` of each made-up argument: where its sizes came from, how certain that is, the spec that repeats it."""

from __future__ import annotations

from gradcheck_health.inputs.language.notation import write
from gradcheck_health.inputs.plan import SIZES, Const, Leaf, Node, Plan
from gradcheck_health.inputs.search.batch_size import STEPS
from gradcheck_health.records.inputs import ArgumentOrigin

_UNSURE = ("", "default", "first matrix")
_TRIED = ("another rank", "float values", "int values", "a plain number", "values in [0, 1)")
"""Notes of edits that no failure asked for."""


def accounts(plan: Plan, first: Plan, notes: tuple[str, ...] = ()) -> tuple[ArgumentOrigin, ...]:
    """One `ArgumentOrigin` for each argument.

    Args:
        plan: what ran.
        first: where the search began: a size that differs from it was solved.
        notes: what led from one to the other.
    """
    return tuple(_account(name, node, plan, first, notes) for name, node in plan.arguments)


def _account(name: str, node: Node, plan: Plan, first: Plan, notes: tuple[str, ...]) -> ArgumentOrigin:
    leaves = [(path, leaf) for path, leaf in plan.leaves() if path[0] == name]
    if not leaves:
        why = "given" if isinstance(node, Const) and node.fixed else "a plain value, by its annotation or by trial"
        return ArgumentOrigin(name, write(plan, node), why, "medium")
    told = dict.fromkeys(_sizes(leaf, plan, first, notes) for _, leaf in leaves)
    ranks = {"high": 2, "medium": 1, "low": 0}
    confidence = min((_confidence(leaf, notes) for _, leaf in leaves), key=ranks.__getitem__)
    return ArgumentOrigin(name, write(plan, node), "; ".join(told), confidence)


def _sizes(leaf: Leaf, plan: Plan, first: Plan, notes: tuple[str, ...]) -> str:
    """`3 from conv1 (Conv2d), 28 solved for fc1.linear`."""
    source = leaf.why.removeprefix("role: ")
    by = f"by its name ({source})" if leaf.why.startswith("role:") else "a usual choice" if leaf.why in _UNSURE else source
    known = [str(dim) for dim in leaf.dims if isinstance(dim, int)]
    high = [f"<{leaf.high}"] if leaf.kind == "int" and isinstance(leaf.high, int) else []
    told = [f"{', '.join(dict.fromkeys(known + high))}: {by}" if known or high else by]
    for dim in dict.fromkeys(d for d in leaf.dims if isinstance(d, str) and d != "B"):
        size = plan.size(dim)
        if size != first.size(dim):
            told.append(f"{size}: solved{f' for {notes[-1]}' if notes else ''}")
        elif size != SIZES.get(dim, size) and not (dim == "T" and size in STEPS):
            told.append(f"{size}: an attribute of the model")
        elif dim in SIZES:
            told.append(f"{size}: any size" if not leaf.fixed else f"{size}: given")
    return ", ".join(dict.fromkeys(told))


def _confidence(leaf: Leaf, notes: tuple[str, ...]) -> str:
    if leaf.fixed:
        return "high"
    if leaf.why in _UNSURE or any(note in _TRIED for note in notes):
        return "low"
    return "medium" if leaf.why.startswith("role:") else "high"
