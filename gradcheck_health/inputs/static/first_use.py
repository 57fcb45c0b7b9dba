"""Read forward's source: which layer an argument meets first, through how many reshapes and sub-modules.

Nothing is executed. Where the source is not at hand, or the way too winding, the answer is None and the search finds out by
trying.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from gradcheck_health.inputs.plan import Group, Leaf
from gradcheck_health.inputs.static.einops_patterns import leaf_for
from gradcheck_health.inputs.static.expressions import in_order, numbers, resolve
from gradcheck_health.inputs.static.function_source import function_of
from gradcheck_health.inputs.static.joined import concatenation, is_concatenation, root_of, shared
from gradcheck_health.inputs.static.layer_inputs import STATE, hands_on, input_of, states_of
from gradcheck_health.inputs.static.loops import Loops, loops_of, weights_of
from gradcheck_health.inputs.static.reorderings import Step, undo
from gradcheck_health.inputs.static.subscripts import indexed, taken

_DEPTH = 12
_SAME = {
    "clone", "contiguous", "cpu", "cuda", "detach", "double", "expand", "flatten", "float", "half", "int", "long",
    "relu", "requires_grad_", "reshape", "sigmoid", "tanh", "to", "type", "type_as", "view",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scope:
    """A forward that is read for one of its arguments."""

    module: nn.Module
    function: ast.FunctionDef
    argument: str
    loops: Loops
    names: dict[str, tuple[Step, ...]]
    """Variables that are the argument, and the steps between."""
    roots: dict[str, str]
    """Variables that are an argument, rearranged at most, any of them."""
    joined: dict[str, ast.Call]
    """Variables that are a concatenation."""


def first_use(module: nn.Module, argument: str, name: str = "", depth: int = 0) -> Leaf | Group | None:
    """What the first layer that takes `argument` wants, undone through the transposes on the way."""
    function = function_of(getattr(type(module).forward, "__wrapped__", type(module).forward))
    if function is None or depth > _DEPTH:
        return None
    loops = loops_of(function, module, argument)
    roots = {given.arg: given.arg for given in function.args.args}
    scope = Scope(module, function, argument, loops, {argument: (), **loops.elements}, roots, {})
    for node in in_order(function):
        found: Leaf | Group | None = None
        if isinstance(node, ast.Call):
            found = _consumed(node, scope, name, depth)
        elif isinstance(node, ast.Subscript):
            found = indexed(node, lambda part: _trace(part, scope), module)
        if found is not None:
            return found
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(target := node.targets[0], ast.Name):
            _assigned(target.id, node.value, scope)
        if not scope.names:
            break
    shape = weights_of(function, loops.elements)
    return Leaf(shape, why="one for each part") if shape else None


def _assigned(name: str, value: ast.expr, scope: Scope) -> None:
    """Remembers what a variable is from here on."""
    if (root := root_of(value)) is not None:
        scope.roots[name] = scope.roots.get(root, root)
    if isinstance(value, ast.Call) and is_concatenation(value):
        scope.joined[name] = value
    traced = _trace(value, scope)
    if traced is not None:
        scope.names[name] = traced
    elif name in scope.names:
        # overwritten by something that is no longer the argument
        del scope.names[name]


def _trace(node: ast.AST, scope: Scope) -> tuple[Step, ...] | None:
    """The reorderings between the argument and this expression; None if it is something else."""
    if isinstance(node, ast.Name):
        return scope.names.get(node.id)
    if isinstance(node, ast.Subscript):
        inner = _trace(node.value, scope)
        step = None if inner is None else taken(node.slice, scope.loops.counters)
        return None if inner is None or step is None else (*inner, step)
    if not isinstance(node, ast.Call):
        return None
    if node.args and hands_on(resolve(node.func, scope.module, {})):
        return _trace(node.args[0], scope)
    if isinstance(node.func, ast.Attribute):
        inner = _trace(node.func.value, scope)
        arguments: list[ast.expr] = list(node.args)
        if inner is None and isinstance(node.func.value, ast.Name) and node.func.value.id == "torch" and arguments:
            inner = _trace(arguments.pop(0), scope)
        if inner is None:
            return None
        if node.func.attr in _SAME:
            return inner
        if node.func.attr in ("transpose", "permute", "unsqueeze", "squeeze", "swapaxes"):
            axes = numbers(arguments)
            return None if axes is None else (*inner, Step(node.func.attr, axes))
        if node.func.attr == "unbind":  # its parts are indexed like a first axis
            axes = numbers([*arguments, *(word.value for word in node.keywords)])
            return None if axes is None else (*inner, Step("unbind", axes or (0,)))
    return None


def _consumed(call: ast.Call, scope: Scope, name: str, depth: int) -> Leaf | Group | None:
    """What `call` wants, if it is a sub-module called with the argument."""
    target = resolve(call.func, scope.module, scope.loops.modules)
    if not isinstance(target, nn.Module) or target is scope.module:
        return None
    given: list[tuple[int | str | None, ast.expr]] = list(enumerate(call.args))
    given += [(word.arg, word.value) for word in call.keywords]
    for position, expression in given:
        if position is None:
            continue
        known = next((path for path, inner in scope.module.named_modules() if inner is target), ast.unparse(call.func))
        label = f"{name}.{known}".strip(".")
        steps = _trace(expression, scope)
        if steps is not None:
            bags = isinstance(target, nn.EmbeddingBag) and len(given) > 1
            leaf = _in_bags(target, position, label) if bags else inside(target, position, label, depth + 1)
            return undo(leaf, steps) if isinstance(leaf, Leaf) else leaf
        if isinstance(expression, ast.Tuple | ast.List):
            state = _in_pair(target, position, expression, scope, label)
        else:
            state = _joined(target, position, expression, scope, label, depth)
        if state is not None:
            return state
    return None


def _in_bags(table: Any, position: int | str, label: str) -> Leaf | None:
    """The ids of all bags in a row, and where each of them begins."""
    if position in (0, "input"):
        return Leaf(("T",), "int", high=table.num_embeddings, why=f"{label} (EmbeddingBag)")
    return Leaf(("B",), "int", "offsets", high="T", why=f"offsets of {label}") if position in (1, "offsets") else None


def _in_pair(
    layer: nn.Module, position: int | str, pair: ast.Tuple | ast.List, scope: Scope, label: str
) -> Leaf | Group | None:
    """A state of a recurrent layer that is handed over as one of two."""
    for place, part in enumerate(pair.elts):
        steps = _trace(part, scope)
        states = states_of(layer) if position in (1, "hx") else ()
        if steps is not None and place < len(states):
            return undo(replace(states[place], why=f"{STATE} {label}"), steps)
    return None


def _joined(layer: nn.Module, position: int | str, node: ast.expr, scope: Scope, label: str, depth: int) -> Leaf | Group | None:
    """Its share of what the layer wants, where the argument is a part of a concatenation."""
    call = scope.joined.get(node.id) if isinstance(node, ast.Name) else node
    if not isinstance(call, ast.Call) or not is_concatenation(call):
        return None
    step, steps = concatenation(call, lambda part: _trace(part, scope), scope.argument, scope.roots)
    if step is None or steps is None:
        return None
    leaf = inside(layer, position, label, depth + 1)
    if not isinstance(leaf, Leaf) or leaf.kind == "int":
        return None
    return undo(shared(leaf, step, scope.argument, layer, scope.module, scope.function), steps)


def inside(module: nn.Module, position: int | str, name: str, depth: int) -> Leaf | Group | None:
    """What `module` wants for its argument at `position` (or of that name)."""
    if depth > _DEPTH:
        return None
    leaf = input_of(module, name)
    if leaf is not None:
        return _at(module, leaf, position)
    if type(module).__module__.split(".")[0] == "torch" and position not in (0, "input", "src", "x"):
        return None
    if isinstance(module, nn.Sequential):
        return _first_of(module, name, depth)
    try:
        parameters = list(inspect.signature(type(module).forward).parameters)[1:]
    except (TypeError, ValueError):
        return None
    if isinstance(position, int):
        if position >= len(parameters):
            return None
        position = parameters[position]
    return (
        first_use(module, position, name, depth)
        if type(module).__module__.split(".")[0] != "torch"
        else _children(module, name, depth)
    )


def _first_of(module: nn.Sequential, name: str, depth: int) -> Leaf | Group | None:
    """What the first layer of a chain wants that tells; an einops layer before it rearranges the axes."""
    reshaping: nn.Module | None = None
    for key, child in module.named_children():
        found = inside(child, 0, f"{name}.{key}".lstrip("."), depth + 1)
        if isinstance(found, Leaf) and reshaping is not None:
            return leaf_for(reshaping, found) or found
        if found is not None:
            return found
        if reshaping is None and isinstance(vars(child).get("pattern"), str):
            reshaping = child
    return None


def _children(module: nn.Module, name: str, depth: int) -> Leaf | Group | None:
    """torch's own containers (TransformerEncoder): what the first layer inside wants."""
    for key, child in module.named_children():
        for inner in child if isinstance(child, nn.ModuleList) else (child,):
            if (leaf := inside(inner, 0, f"{name}.{key}", depth + 1)) is not None:
                return leaf
    return None


def _at(module: nn.Module, leaf: Leaf, position: int | str) -> Leaf | Group | None:
    """The second argument of a recurrent layer is a state, of Bilinear the other operand; of attention the keys."""
    if position in (0, "input", "query", "src", "x"):
        return leaf
    if position in (1, "hx") and (states := states_of(module)):
        named = tuple(replace(state, why=f"{STATE} {leaf.why}") for state in states)
        return named[0] if len(named) == 1 else Group(tuple(enumerate(named)), "tuple")
    if isinstance(module, nn.Bilinear):
        return replace(leaf, dims=("B", module.in2_features))
    if isinstance(module, nn.MultiheadAttention):
        width = {1: module.kdim, "key": module.kdim, 2: module.vdim, "value": module.vdim}.get(position)
        return None if width is None else replace(leaf, dims=(*leaf.dims[:-1], width))
    if isinstance(module, nn.Transformer | nn.TransformerDecoderLayer) and position in (1, "tgt", "memory"):
        return leaf
    return None
