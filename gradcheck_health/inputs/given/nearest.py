"""Inputs near those that were given and failed, which were seen to run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from gradcheck_health.inputs.plan import Const, Dim, Group, Leaf, Node, Plan
from gradcheck_health.inputs.search.error import written
from gradcheck_health.inputs.search.search import Search
from gradcheck_health.inputs.static.argument_roles import first_plan
from gradcheck_health.inputs.static.model_info import ModelInfo

_SAMPLES = (3, 5, 2, *range(7, 1000, 2))
"""Numbers of samples to try with, the likeliest first."""
TRIALS = 25
"""Trials for finding out what would have been right; the check itself has failed already."""


def mended(info: ModelInfo, given: dict[str, Any] | Plan, seed: int) -> dict[str, str] | None:
    """Argument -> text of inputs that run, as near to the given ones as the search comes; None where it finds none.

    Args:
        given: values by argument, or the plan that was made of them.
    """
    guess = first_plan(info)
    nodes = given.arguments if isinstance(given, Plan) else tuple((name, _node(value)) for name, value in given.items())
    start = Plan(nodes, given.sizes if isinstance(given, Plan) else guess.sizes)
    for name, node in nodes:
        start = _loosened(start, name, node, guess.get((name,)))
    for plan in (_apart(start), guess):
        best = Search(info, seed, TRIALS).find(plan).best
        texts = written(best.plan)
        if best.ok and not best.mixed and len(texts) == len(best.plan.arguments):
            return texts
    return None


def _node(value: Any) -> Node:
    if isinstance(value, torch.Tensor):
        kind = "float" if value.is_floating_point() else "complex" if value.is_complex() else "int"
        kind = "bool" if value.dtype is torch.bool else kind
        high = max(int(value.max()) + 1, 2) if kind == "int" and value.numel() else None
        return Leaf(tuple(value.shape), kind, high=high, why="given")
    if isinstance(value, dict):
        return Group(tuple((key, _node(item)) for key, item in value.items()), "dict")
    if isinstance(value, tuple | list):
        return Group(tuple((i, _node(item)) for i, item in enumerate(value)), "tuple" if isinstance(value, tuple) else "list")
    return Const(value)


def _loosened(plan: Plan, name: str, node: Node, guess: Node | None) -> Plan:
    """Free to be edited, and with the names of the guess for sizes that the search varies."""
    if isinstance(node, Const) and isinstance(node.value, torch.Tensor):
        node = _node(node.value)
    if not isinstance(node, Leaf):
        return plan.put((name,), node)
    names: tuple[Dim, ...] = guess.dims if isinstance(guess, Leaf) and len(guess.dims) == len(node.dims) else ("B",)
    dims: list[Dim] = list(node.dims)
    for place, dim in enumerate(dims):
        called = names[place] if place < len(names) else dim
        if isinstance(dim, int) and isinstance(called, str) and called not in node.dims and dim > 0:
            dims[place] = called
            if called != "B":
                plan = plan.resize(**{called: dim})
    return plan.put((name,), replace(node, dims=tuple(dims), fixed=False, drawn=False))


def _apart(plan: Plan) -> Plan:
    """The plan with a number of samples that is no other size in it: a size that is wanted must not be taken for theirs."""
    sizes = {plan.size(dim) for _, leaf in plan.leaves() for dim in leaf.dims if dim != "B"}
    return plan.resize(B=next((number for number in _SAMPLES if number not in sizes), 3))
