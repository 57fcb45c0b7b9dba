"""Arguments that are put together in front of a layer: how the width that it wants is shared among them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable

from torch import nn

from gradcheck_health.inputs.plan import Dim, Leaf
from gradcheck_health.inputs.static.reorderings import Step

_STATE = re.compile(r"(prev|last|old)?_?(h|hx|cx|hid|hidden|hidden_states?|carry)_?(0|t|prev|state)?")
_ONE_CHANNEL = re.compile(r".*(mask|edges?|depth|alpha|sketch|hint|cond(ition)?|gray|heat_?map|noise)s?", re.I)
PART = "a part of"
"""How the source of a leaf begins that is put together with others before the layer."""
_COLOURS = 3
_TIMES = re.compile(r"t|time|times|ts|tau|sigma")
_POINTS = re.compile(r".*(points?|xyz|coords?|coors?|coordinates|pos)\d*", re.I)
_REARRANGE = {
    "clone", "contiguous", "expand", "expand_as", "float", "permute", "repeat", "reshape", "squeeze", "to", "transpose",
    "type_as", "unsqueeze", "view",
}  # fmt: skip
_WIDTHS = ("hidden_size", "hidden_dim", "hidden_channels", "hidden", "n_hidden", "state_size", "hid_dim", "dim_hidden")


def is_concatenation(call: ast.Call) -> bool:
    """`torch.cat` under any of its names."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    return name in ("cat", "concat", "concatenate") and bool(call.args)


def concatenation(
    call: ast.Call, trace: Callable[[ast.expr], tuple[Step, ...] | None], argument: str, roots: dict[str, str]
) -> tuple[Step | None, tuple[Step, ...] | None]:
    """The step that puts the argument together with others, and the steps before it; None where it is no part.

    Args:
        trace: the steps between the argument and an expression.
        roots: the argument that a variable is, rearranged at most.
    """
    listed = call.args[0]
    places = [call.args[1]] if len(call.args) > 1 else [word.value for word in call.keywords if word.arg in ("dim", "axis")]
    try:
        axis = ast.literal_eval(places[0]) if places else 0
    except ValueError:
        return None, None
    if not isinstance(listed, ast.List | ast.Tuple) or not isinstance(axis, int):
        return None, None
    traced = [trace(part) for part in listed.elts]
    steps = next((one for one in traced if one is not None), None)
    parts = tuple(
        argument if one is not None else roots.get(root_of(part) or "") for one, part in zip(traced, listed.elts, strict=True)
    )
    return Step("cat", (axis,), parts), steps


def root_of(part: ast.expr) -> str | None:
    """The variable that methods and subscripts rearrange; None where it is computed with."""
    while isinstance(part, ast.Call | ast.Attribute | ast.Subscript):
        if isinstance(part, ast.Attribute) and part.attr not in _REARRANGE:
            return None
        part = part.func if isinstance(part, ast.Call) else part.value
    return part.id if isinstance(part, ast.Name) else None


def shared(leaf: Leaf, step: Step, argument: str, layer: nn.Module, owner: nn.Module, function: ast.FunctionDef) -> Leaf:
    """The leaf that a layer wants of a concatenation, with the width that falls to `argument`.

    Args:
        step: the concatenation.
        layer: what is fed with it.
        owner: the module whose forward this is.
        function: that forward.
    """
    axis = step.numbers[0]
    if not -len(leaf.dims) <= axis < len(leaf.dims) or None in step.parts:
        return leaf
    total = leaf.dims[axis]
    if not isinstance(total, int):
        return leaf
    width = _share(
        Counter(str(part) for part in step.parts), argument, total, len(leaf.dims) > 3, _state(layer, owner, function)
    )
    dims: list[Dim] = list(leaf.dims)
    dims[axis] = width
    return Leaf(tuple(dims), leaf.kind, leaf.fill, leaf.low, leaf.high, why=f"{PART} {leaf.why}")


def _share(parts: Counter[str], argument: str, total: int, image: bool, state: int) -> int:
    copies, others = parts[argument], [name for name in parts if name != argument]
    if not others:
        return max(total // copies, 1)
    states = [name for name in parts if _STATE.fullmatch(name.lower())]
    states = states if len(states) < len(parts) else states[-1:]
    rest = total - state * sum(parts[name] for name in states)
    if state and states and rest > 0 and [parts[name] for name in parts if name not in states] == [1]:
        return state if argument in states else rest
    if len(others) == 1 and copies == parts[others[0]] == 1:
        places = [name for name in parts if _POINTS.fullmatch(name)]
        if not image and len(places) == 1 and total > _COLOURS:
            return _COLOURS if argument == places[0] else total - _COLOURS
        times = [name for name in parts if _TIMES.fullmatch(name)]
        if len(times) == 1 and total > 1:
            return 1 if argument == times[0] else total - 1
        single = [name for name in parts if _ONE_CHANNEL.fullmatch(name)][-1:]
        if image and total > 1 and (single or total == _COLOURS + 1):
            holds = single[0] if single else list(parts)[-1]
            return 1 if argument == holds else total - 1
        if image and total > _COLOURS and total != 2 * _COLOURS:
            first = next(iter(parts))
            return _COLOURS if argument == first else total - _COLOURS
    even, rest = divmod(total, sum(parts.values()))
    return even + (rest if argument == list(parts)[-1] else 0) or 1


def hidden_width(owner: nn.Module) -> int:
    """The width that a hand-written recurrence keeps for its state; 0 where it keeps none."""
    kept = (vars(owner).get(name) for name in _WIDTHS)
    return next((width for width in kept if isinstance(width, int) and not isinstance(width, bool)), 0)


def _state(layer: nn.Module, owner: nn.Module, function: ast.FunctionDef) -> int:
    """The width of the state that comes out of a hand-written cell: it goes in as wide."""
    if width := hidden_width(owner):
        return width
    made = vars(layer).get("out_features", vars(layer).get("out_channels", 0))
    cut = [1]
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "chunk":
            cut += [n.value for n in node.args if isinstance(n, ast.Constant) and isinstance(n.value, int) and n.value > 1][:1]
    return int(made) // max(cut) if isinstance(made, int) else 0
