"""When no failure shows what it wanted: other usual sizes, ranks and kinds, the likeliest first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gradcheck_health.inputs.plan import Const, Dim, Edit, Plan
from gradcheck_health.inputs.static.signature import Argument

_LADDER: dict[str, tuple[int, ...]] = {
    "H": (64, 224, 128, 256, 28, 84, 16),
    "T": (16, 10, 64, 32, 128),
    "L": (256, 1024, 16000),
    "D": (32, 8),
    "A": (16000, 64000),
    "P": (256, 1024),
    "N": (16,),
    "B": (4, 1),
}
_MANY = 4
"""Arguments of a forward that takes any number of them."""
_SHAPES: tuple[tuple[Dim, ...], ...] = (
    ("B", 3, "H", "W"),
    ("B", "T", 10),
    ("B", 10),
    ("B", 3, "L"),
    ("B",),
    ("B", 3, "D", "H", "W"),
    (),
)


def explore(plan: Plan, arguments: Sequence[Argument] = ()) -> Iterator[Edit]:
    """Far-fetched edits of every argument that was made up.

    Args:
        arguments: of forward.
    """
    for argument in arguments:
        node = plan.get((argument.name,))
        allowed = argument.required and re.search(r"\b(optional|none)\b", argument.annotation)
        if allowed and node is not None and node != Const(None):
            yield Edit(plan.put((argument.name,), Const(None)), 3.0, f"{argument.name} may be None")
    used = {dim for _, leaf in plan.leaves() for dim in leaf.dims}
    for name, values in _LADDER.items():
        for step, value in enumerate(values):
            if name in used and plan.size(name) != value:
                sizes = {"H": value, "W": value} if name == "H" and "W" in used else {name: value}
                yield Edit(plan.resize(**sizes), (3.0 if name != "B" else 4.5) + 0.3 * step, f"{name} = {value}")
    counted = [node for name, node in plan.arguments if name.startswith("*")]
    if counted and len(counted) == len(plan.arguments) < _MANY:
        yield Edit(plan.put((f"*{len(counted)}",), counted[-1]), 4.0, "one argument more")
    for path, leaf in plan.leaves():
        if leaf.kind == "float" and not leaf.drawn:
            yield Edit(plan.put(path, replace(leaf, fill="uniform")), 4.1, "values in [0, 1)")
        if leaf.fixed:
            continue
        if len(leaf.dims) == 2 and leaf.dims[0] == "B" and leaf.kind == "float":
            yield Edit(plan.put(path, replace(leaf, dims=("B", "T", leaf.dims[1]))), 3.6, "steps behind the samples")
        for step, dims in enumerate(_SHAPES):
            if len(dims) != len(leaf.dims):
                yield Edit(plan.put(path, replace(leaf, dims=dims)), 4.0 + 0.3 * step, "another rank")
        other = "int" if leaf.kind == "float" else "float"
        yield Edit(
            plan.put(path, replace(leaf, kind=other, fill="normal", high=2 if other == "int" else None)), 4.2, f"{other} values"
        )
        if len(path) == 1 and len(leaf.dims) < 2:
            yield Edit(plan.put(path, Const(1)), 4.4, "a plain number")
