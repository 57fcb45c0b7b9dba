"""Read forward's source: which layer an argument meets first, through how many reshapes and sub-modules.

Nothing is executed. Where the source is not at hand, or the way too winding, the answer is None and the search finds out by
trying.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from gradcheck_health.inputs.plan import Dim, Leaf
from gradcheck_health.inputs.static.einops_patterns import leaf_for
from gradcheck_health.inputs.static.function_source import function_of
from gradcheck_health.inputs.static.layer_inputs import hands_on, input_of

_DEPTH = 12
_SAME = {
    "clone", "contiguous", "cpu", "cuda", "detach", "double", "expand", "flatten", "float", "half", "int", "long",
    "relu", "requires_grad_", "reshape", "sigmoid", "tanh", "to", "type", "type_as", "view",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One reordering method between the argument and its first layer."""

    name: str
    numbers: tuple[int, ...]


def first_use(module: nn.Module, argument: str, name: str = "", depth: int = 0) -> Leaf | None:
    """What the first layer that takes `argument` wants, undone through the transposes on the way."""
    function = function_of(getattr(type(module).forward, "__wrapped__", type(module).forward))
    if function is None or depth > _DEPTH:
        return None
    names: dict[str, tuple[Step, ...]] = {argument: ()}
    loops: dict[str, nn.Module] = {}
    for node in _in_order(function):
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            if isinstance(listed := resolve(node.iter, module, loops), nn.ModuleList | nn.Sequential) and len(listed):
                loops[node.target.id] = listed[0]
        elif isinstance(node, ast.Call):
            found = _consumed(node, module, names, loops, name, depth)
            if found is not None:
                return found
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(target := node.targets[0], ast.Name):
            traced = _trace(node.value, names, module)
            if traced is not None:
                names[target.id] = traced
            elif target.id in names:
                # overwritten by something that is no longer the argument
                del names[target.id]
                if not names:
                    return None
    return None


def _in_order(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Inner expressions before the statement that holds them, statements as they stand."""

    def visit(node: ast.AST) -> Iterator[ast.AST]:
        if isinstance(node, ast.For):
            yield node
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.Lambda):
                yield from visit(child)
        if not isinstance(node, ast.For):
            yield node

    for statement in function.body:
        yield from visit(statement)


def resolve(node: ast.AST, module: nn.Module, loops: dict[str, nn.Module]) -> Any:
    """`self.a.b[0]` or a loop variable as the module that it names."""
    if isinstance(node, ast.Name):
        return module if node.id == "self" else loops.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolve(node.value, module, loops)
        return owner._modules.get(node.attr) if isinstance(owner, nn.Module) else None
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        owner = resolve(node.value, module, loops)
        try:
            key: Any = node.slice.value
            return owner[key] if isinstance(owner, nn.ModuleList | nn.Sequential | nn.ModuleDict) else None
        except (IndexError, KeyError, TypeError):
            return None
    return None


def _trace(node: ast.AST, names: dict[str, tuple[Step, ...]], module: nn.Module) -> tuple[Step, ...] | None:
    """The reorderings between the argument and this expression; None if it is something else."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if not isinstance(node, ast.Call):
        return None
    if node.args and hands_on(resolve(node.func, module, {})):
        return _trace(node.args[0], names, module)
    if isinstance(node.func, ast.Attribute):
        inner = _trace(node.func.value, names, module)
        arguments: list[ast.expr] = list(node.args)
        if inner is None and isinstance(node.func.value, ast.Name) and node.func.value.id == "torch" and arguments:
            inner = _trace(arguments.pop(0), names, module)
        if inner is None:
            return None
        if node.func.attr in _SAME:
            return inner
        if node.func.attr in ("transpose", "permute", "unsqueeze", "squeeze", "swapaxes"):
            numbers = _numbers(arguments)
            return None if numbers is None else (*inner, Step(node.func.attr, numbers))
    return None


def _numbers(nodes: list[ast.expr]) -> tuple[int, ...] | None:
    try:
        values = [ast.literal_eval(node) for node in nodes]
    except ValueError:
        return None
    flat = values[0] if len(values) == 1 and isinstance(values[0], tuple | list) else values
    return tuple(flat) if all(isinstance(value, int) for value in flat) else None


def _consumed(
    call: ast.Call, module: nn.Module, names: dict[str, tuple[Step, ...]], loops: dict[str, nn.Module], name: str, depth: int
) -> Leaf | None:
    """What `call` wants, if it is a sub-module called with the argument."""
    target = resolve(call.func, module, loops)
    if not isinstance(target, nn.Module) or target is module:
        return None
    given: list[tuple[int | str | None, ast.expr]] = list(enumerate(call.args))
    given += [(word.arg, word.value) for word in call.keywords]
    for position, expression in given:
        steps = _trace(expression, names, module)
        if steps is None or position is None:
            continue
        known = next((path for path, inner in module.named_modules() if inner is target), ast.unparse(call.func))
        label = f"{name}.{known}".strip(".")
        leaf = inside(target, position, label, depth + 1)
        return None if leaf is None else _undo(leaf, steps)
    return None


def inside(module: nn.Module, position: int | str, name: str, depth: int) -> Leaf | None:
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


def _first_of(module: nn.Sequential, name: str, depth: int) -> Leaf | None:
    """What the first layer of a chain wants that tells; an einops layer before it rearranges the axes."""
    reshaping: nn.Module | None = None
    for key, child in module.named_children():
        found = inside(child, 0, f"{name}.{key}".lstrip("."), depth + 1)
        if found is not None:
            return (leaf_for(reshaping, found) or found) if reshaping is not None else found
        if reshaping is None and isinstance(vars(child).get("pattern"), str):
            reshaping = child
    return None


def _children(module: nn.Module, name: str, depth: int) -> Leaf | None:
    """torch's own containers (TransformerEncoder): what the first layer inside wants."""
    for key, child in module.named_children():
        for inner in child if isinstance(child, nn.ModuleList) else (child,):
            if (leaf := inside(inner, 0, f"{name}.{key}", depth + 1)) is not None:
                return leaf
    return None


def _at(module: nn.Module, leaf: Leaf, position: int | str) -> Leaf | None:
    """The second argument of a recurrent layer is a state, of Bilinear the other operand; of attention the keys."""
    if position in (0, "input", "query", "src", "x"):
        return leaf
    if isinstance(module, nn.Bilinear):
        return replace(leaf, dims=("B", module.in2_features))
    if isinstance(module, nn.MultiheadAttention):
        width = {1: module.kdim, "key": module.kdim, 2: module.vdim, "value": module.vdim}.get(position)
        return None if width is None else replace(leaf, dims=(*leaf.dims[:-1], width))
    if isinstance(module, nn.Transformer | nn.TransformerDecoderLayer) and position in (1, "tgt", "memory"):
        return leaf
    return None


def _undo(leaf: Leaf, steps: tuple[Step, ...]) -> Leaf | None:
    """The shape before `steps` that gives `leaf` after them."""
    dims: list[Dim] = list(leaf.dims)
    try:
        for step in reversed(steps):
            dims = _undo_one(dims, step)
    except IndexError:
        return None
    return replace(leaf, dims=tuple(dims))


def _undo_one(dims: list[Dim], step: Step) -> list[Dim]:
    """The dimensions before a step of which `dims` are the dimensions behind."""
    # A convolution that is fed `x.transpose(1, 2)` wants [B, C, L], so x is [B, L, C]: the same transposition again. A step
    # that names a third axis where two are known shows that there is one more: steps `T`, between the batch and the
    # features.
    numbers = step.numbers
    if step.name in ("transpose", "swapaxes") and len(numbers) == 2:
        if max(numbers) >= len(dims) == 2:
            dims = [dims[0], "T", dims[1]]
        dims[numbers[0]], dims[numbers[1]] = dims[numbers[1]], dims[numbers[0]]
    elif step.name == "permute":
        if len(numbers) != len(dims):
            raise IndexError(numbers)
        before: list[Dim] = [0] * len(dims)
        for new, old in enumerate(numbers):
            before[old] = dims[new]
        dims = before
    elif step.name == "unsqueeze" and len(dims) > 1:
        if numbers[0] == len(dims) == 2:  # features of steps, of which there is one
            dims = [dims[0], "T", dims[1]]
        del dims[numbers[0]]
    elif step.name == "squeeze" and numbers:
        dims.insert(numbers[0] if numbers[0] >= 0 else len(dims) + 1 + numbers[0], 1)
    return dims
