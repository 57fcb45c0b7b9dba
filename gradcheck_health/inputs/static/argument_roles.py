"""The first guess for an argument: what its name and annotation mean, and which layer takes it first."""

from __future__ import annotations

import re
from dataclasses import replace

from torch import nn

from gradcheck_health.inputs.plan import SPATIAL, Const, Group, Leaf, Node, Plan
from gradcheck_health.inputs.recipes import recipe_for
from gradcheck_health.inputs.static.counted_axes import counted
from gradcheck_health.inputs.static.first_use import inside
from gradcheck_health.inputs.static.function_source import function_of
from gradcheck_health.inputs.static.joined import PART, hidden_width
from gradcheck_health.inputs.static.layer_inputs import STATE
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.static.named_roles import STEPS, by_name, is_state, state
from gradcheck_health.inputs.static.signature import Argument
from gradcheck_health.inputs.static.size_attributes import sizes
from gradcheck_health.inputs.static.subscripts import parts_of
from gradcheck_health.inputs.static.written_shapes import annotated, documented

_SCALARS = {"int": 1, "float": 1.0, "bool": False, "str": ""}
_GRID = {"int": 4, "float": 1.0}
"""An entry of a tuple of numbers: how many places a grid has along an axis, and how far apart they are."""


def guess(argument: Argument, info: ModelInfo, position: int) -> Node:
    """The likeliest value of one argument."""
    by_type = _annotated(argument, info)
    if by_type is not None:
        return by_type
    found = _unwritten(argument, info, position)
    if not isinstance(found, Leaf):
        return found
    return annotated(info.owner, argument, found) or documented(info.owner, argument, found) or found


def _unwritten(argument: Argument, info: ModelInfo, position: int) -> Node:
    """What the source, the name and the layers say; nobody wrote the shape down."""
    if info.counts_steps(argument.name):
        return Leaf(("B",), "int", "lengths", high="T", why="compared with positions")
    used = info.use(argument.name)
    if used is None and not type(info.owner).__module__.startswith("torch.nn.modules.container"):
        used = _standing_alone(info, argument, position)
    field = _field(argument, info, position)
    if isinstance(field, Leaf) and not field.dims and isinstance(used, Leaf) and used.why.startswith(PART):
        return field
    named = field or by_name(argument.name, info)
    if isinstance(used, Group):
        return used
    if used is not None:
        if used.dims == ("B", "T") and used.kind == "int" and not info.sequence and _one_a_sample(argument, named, info):
            return replace(used, dims=("B",))
        if isinstance(named, Leaf) and named.kind == "int" and named.why == STEPS and used.kind == "float":
            return named  # what the layer takes is an embedding that was computed of it
        if isinstance(named, Leaf) and named.rank() > used.rank() == 2 and named.dims[-1] == used.dims[-1]:
            return replace(named, why=used.why)  # the layer takes them one by one
        # a mask that meets an embedding or a convolution first is no mask
        return _with_time(used, argument, info)
    alone = named if named is not None else main(argument, info, position)
    held = is_state(argument.name)
    parts = parts_of(function_of(type(info.owner).forward), argument.name) if named is None or held else 0
    if not parts or not isinstance(alone, Leaf):
        return alone
    part = replace(alone, dims=("B", hidden_width(info.owner) or alone.dims[-1])) if held and named is None else alone
    return Group(tuple((i, part) for i in range(parts)), "tuple")


def _one_a_sample(argument: Argument, named: Node | None, info: ModelInfo) -> bool:
    """Class labels, timesteps, users and items: one id a sample, where nothing works along a sequence."""
    if isinstance(named, Leaf) and named.dims == ("B",):
        return True
    tables = {
        leaf.why
        for other in info.signature.arguments
        if other.required and isinstance(leaf := info.use(other.name), Leaf) and leaf.kind == "int"
    }
    return len(tables) > 1 and not re.search(
        r"token|text|word|seq|src|tgt|input|question|sentence|title|query|doc", argument.name
    )


_TIME = re.compile(r"t|time|s|tau|_t|ts")


def _field(argument: Argument, info: ModelInfo, position: int) -> Node | None:
    """The right-hand side of a differential equation, `forward(t, y)`: a point in time, and a state."""
    required = [other.name for other in info.signature.arguments if other.required]
    if len(required) != 2 or not _TIME.fullmatch(required[0].lower()):
        return None
    return Leaf((), fill="uniform", why="role: time") if argument.name == required[0] else main(argument, info, position)


def _standing_alone(info: ModelInfo, argument: Argument, position: int) -> Leaf | Group | None:
    """The model itself is a layer of torch."""
    return inside(info.owner, position, "", 0) if type(info.owner).__module__.split(".")[0] == "torch" else None


def main(argument: Argument, info: ModelInfo, position: int) -> Node:
    """An ordinary tensor: for the layer that shares a word with it, else for the first one."""
    if counted(info.owner, argument.name):
        return Leaf(("B", 4, "T", "T"), why="counted along")  # scores of several heads, or a bias on them
    leaf = info.named(argument.name)
    if leaf is None and info.entries:
        taken = {use.why for other in info.signature.arguments if isinstance(use := info.use(other.name), Leaf)}
        free = [entry for _, _, entry in info.entries if entry.why not in taken]
        if re.search(r"noise|latent|^z|feat|dense|cont|num", argument.name):
            free = [entry for entry in free if entry.kind == "float"]
        leaf = (free or [info.entries[0][2]])[0]
    if leaf is None:
        if axes := _axes(info):
            return Leaf(("B", 3, *SPATIAL[axes]), why="default")
        if (scaled := _scaled(info)) is not None:
            return scaled
        matrix = next((p for p in info.owner.parameters() if p.dim() >= 2 and not nn.parameter.is_lazy(p)), None)
        leaf = Leaf(("B", 10 if matrix is None else matrix.shape[-1]), why="default" if matrix is None else "first matrix")
    return _with_time(leaf, argument, info)


def _axes(info: ModelInfo) -> int:
    """Of the places that its layers work on; 0 where no layer tells."""
    return next((n for n in (1, 2, 3) for m in info.owner.modules() if f"{n}d" in type(m).__name__), 0)


def _scaled(info: ModelInfo) -> Leaf | None:
    """Channels in front of positions, where a parameter of shape [1, C, 1, 1] scales them, as of a norm by hand."""
    for name, parameter in info.owner.named_parameters():
        shape = () if nn.parameter.is_lazy(parameter) else tuple(parameter.shape)
        axes = len(shape) - 1 - next((i for i, size in enumerate(shape) if size > 1), len(shape))
        if axes in SPATIAL and shape[-axes:] == (1,) * axes and sum(size > 1 for size in shape) == 1:
            return Leaf(("B", shape[-axes - 1], *SPATIAL[axes]), why=name)
    return None


def _with_time(leaf: Leaf, argument: Argument, info: ModelInfo) -> Leaf:
    """Features of nodes in a graph network, of steps in a sequence model."""
    names = {other.name for other in info.signature.arguments}
    if len(leaf.dims) != 2 or leaf.kind != "float" or leaf.dims[0] != "B" or leaf.why.startswith(STATE):
        return leaf
    if {a.name for a in info.signature.arguments if a.required} & {"edge_index", "adj", "adjacency", "adj_matrix", "edges"}:
        return replace(leaf, dims=("N", leaf.dims[1]))
    # only sequences have lengths and padding masks
    others = names - {argument.name}
    ragged = any(re.search(r"len(gth)?s?$|seq_lens?|padding_mask", name) or info.counts_steps(name) for name in others)
    if (info.sequence or ragged) and not isinstance(info.owner, nn.Linear):
        return replace(leaf, dims=("B", "T", leaf.dims[1]))
    return leaf


def _annotated(argument: Argument, info: ModelInfo) -> Node | None:
    """Scalars and containers by annotation."""
    hint = re.sub(r"optional\[(.*)\]", r"\1", argument.annotation).replace("| none", "").replace("none |", "").strip()
    if hint in _SCALARS:
        return Const(_SCALARS[hint])
    if found := re.match(r"(?:union\[)?(?:tuple|list|sequence)\[(int|float)((?:, ?(?:int|float))*)(?:, ?\.\.\.)?\]", hint):
        return Const((_GRID[found[1]],) * (1 + found[2].count(",") if found[2] else _axes(info) or 2))
    if re.match(r"(dict|mapping)\b", hint):
        return Group((), "dict")
    if re.match(r"(list|sequence|iterable)\[", hint) and "tensor" in hint:
        one = main(argument, info, 0)
        return Group(tuple((i, one) for i in range(2)), "list")
    if re.match(r"tuple\[", hint) and "tensor" in hint:
        held = state(info) if re.search(r"h|state|carry|hid", argument.name) else None
        one = main(argument, info, 0)
        return held if isinstance(held, Group) else Group(tuple((i, one) for i in range(max(1, hint.count("tensor")))), "tuple")
    return None


def first_plan(info: ModelInfo) -> Plan:
    """Every required argument with its first guess."""
    recipe = recipe_for(info.owner)
    if recipe is not None:
        return recipe
    signature = info.signature
    wanted = [argument for argument in signature.arguments if argument.required]
    if not wanted and signature.arguments:
        # every argument has a default: the first one is what the model is about
        wanted = [signature.arguments[0]] if signature.arguments[0].default is None else []
    arguments = [(argument.name, guess(argument, info, position)) for position, argument in enumerate(wanted)]
    if not arguments and signature.variadic:
        arguments = [("*0", main(Argument("*0"), info, 0))]
    plan = Plan(tuple(arguments))
    return plan.resize(**sizes(info.owner, dict(plan.sizes)))
