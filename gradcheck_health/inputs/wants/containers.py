"""Arguments that are no single tensor: what the failing statement unpacks, indexes by key, or takes attributes of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

import torch
from torch import nn

from gradcheck_health.inputs.observation.tracer import Tracer
from gradcheck_health.inputs.plan import Const, Group, Leaf, Path, Plan
from gradcheck_health.inputs.static.argument_roles import guess
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.static.signature import Argument
from gradcheck_health.inputs.wants.failing_statement import evaluate
from gradcheck_health.inputs.wants.want import Want, putting
from gradcheck_health.model.source.frames import receiver
from gradcheck_health.records.errors import message_of as text_of

_UNPACK = re.compile(
    r"not enough values to unpack \(expected (?:at least )?(\d+), got (\d+)\)|too many values to unpack \(expected (\d+)"
)
_NO_ROWS = re.compile(r"cannot unpack non-iterable|iteration over a 0-d tensor")
_SCALAR = re.compile(
    r"scalar|ambiguous|interpreted as an integer|an integer is required|must be (.*int|Number)|invalid combination of arguments"
)
_OBJECT = r"'(?:Tensor|dict|SimpleNamespace|types\.SimpleNamespace)' object has no attribute '(\w+)'"


def container_wants(statement: ast.stmt, frame: FrameType, tracer: Tracer, error: Exception, plan: Plan) -> Iterator[Want]:
    """Edits that turn an argument into a list, tuple, dict, object or plain number, or a part of one."""
    message = text_of(error)
    match = _UNPACK.search(message)
    rows = list(_rows(statement, frame)) if match or _NO_ROWS.search(message) else []
    yield from rows
    if match and not rows:
        yield from _unpacked(statement, frame, tracer, int(match.group(1) or match.group(3)), plan)
    if isinstance(error, KeyError) and error.args and _written(statement, error.args[0]):
        yield from _keyed(statement, frame, tracer, error.args[0], plan)
    if isinstance(error, IndexError | TypeError) and "str" in message or "only integers, slices" in message:
        for node in ast.walk(statement):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                yield from _keyed(statement, frame, tracer, node.slice.value, plan)
    if (match := re.search(_OBJECT, message)) and not hasattr(torch.Tensor, match.group(1)):
        yield from _attribute(statement, frame, tracer, match.group(1), plan)
    if isinstance(error, TypeError) and "'Tensor' object is not callable" in message:
        called = {
            node.func.id for node in ast.walk(statement) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        for path, _ in _named_leaves(statement, frame, tracer, plan):
            if path[0] in called:  # another model: one that hands on what it gets
                yield Want("edit", why="called", cost=0.5, edit=putting(path, Const(nn.Identity())))
    if isinstance(error, TypeError | ValueError | RuntimeError) and _SCALAR.search(message):
        for path, _ in _named_leaves(statement, frame, tracer, plan):
            yield Want("edit", why="a plain number", cost=1.2, edit=putting(path, Const(4), Const(1), Const(False)))
    if isinstance(error, IndexError | TypeError | AssertionError | ValueError):
        for path, leaf in _named_leaves(statement, frame, tracer, plan):
            if _taken_apart(statement):
                yield Want("edit", why="a list of tensors", cost=1.8, edit=putting(path, *(listed(leaf, n) for n in (2, 3, 4))))


def _written(statement: ast.stmt, key: object) -> bool:
    """The key stands in the statement, or is a word that a loop over names may have brought."""
    constants = [node.value for node in ast.walk(statement) if isinstance(node, ast.Constant)]
    return key in constants or isinstance(key, str)


def listed(leaf: Leaf, count: int) -> Group:
    """That many tensors of the same kind."""
    return Group(tuple((i, leaf) for i in range(count)), "list")


def _taken_apart(statement: ast.stmt) -> bool:
    """The statement iterates, takes the length or an integer item."""
    return any(
        isinstance(node, ast.For | ast.comprehension | ast.Starred | ast.Subscript)
        or isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("len", "zip", "enumerate", "isinstance")
        for node in ast.walk(statement)
    )


def _named_leaves(statement: ast.stmt, frame: FrameType, tracer: Tracer, plan: Plan) -> list[tuple[Path, Leaf]]:
    """Arguments that the statement names and that still are what was passed."""
    found: list[tuple[Path, Leaf]] = []
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(value := frame.f_locals.get(node.id), torch.Tensor):
            origin = tracer.origin(value)
            if origin is not None and origin.layout is not None and len(origin.paths) == 1:
                (path,) = origin.paths
                leaf = plan.get(path)
                if isinstance(leaf, Leaf) and not leaf.fixed and (path, leaf) not in found:
                    found.append((path, leaf))
    return found


def _unpacked(statement: ast.stmt, frame: FrameType, tracer: Tracer, expected: int, plan: Plan) -> Iterator[Want]:
    """`b, c, h, w = x.shape` tells the rank; `a, b = inputs` a pair."""
    value: ast.expr | None = getattr(statement, "value", None) or getattr(statement, "iter", None)
    if value is None:
        return
    if isinstance(value, ast.Tuple) and any(isinstance(item, ast.Starred) for item in value.elts):
        expected -= sum(not isinstance(item, ast.Starred) for item in value.elts)  # a, b, flag = *x.shape, self.flag
    shape_of = [owner for node in ast.walk(value) if (owner := _measured(node)) is not None]
    for node in shape_of:
        tensor = evaluate(node, frame)
        if isinstance(tensor, torch.Tensor):
            yield Want("rank", tensor, value=expected, why=f"unpacked into {expected} sizes", cost=0.6)
    if not shape_of:
        for path, leaf in _named_leaves(statement, frame, tracer, plan):
            items = Group(tuple((i, leaf) for i in range(expected)), "tuple")
            yield Want("edit", why=f"unpacked into {expected}", cost=0.9, edit=putting(path, items))
    tensor = evaluate(value, frame)
    if isinstance(tensor, torch.Tensor) and tensor.dim():
        yield Want("size", tensor, 0, expected, why=f"unpacked into {expected}", cost=1.2)


def _rows(statement: ast.stmt, frame: FrameType) -> Iterator[Want]:
    """`for x, y in points`, or in `points.tolist()`: every row holds so many numbers."""
    for node in ast.walk(statement):
        if not isinstance(node, ast.For | ast.comprehension) or not isinstance(node.target, ast.Tuple):
            continue
        over = node.iter
        if isinstance(over, ast.Call) and isinstance(over.func, ast.Attribute) and over.func.attr == "tolist":
            over = over.func.value
        tensor, count = evaluate(over, frame), len(node.target.elts)
        if isinstance(tensor, torch.Tensor) and tensor.dim() == 1:
            yield Want("rank", tensor, value=2, template=("B", count), why=f"rows of {count}", cost=0.6)
        elif isinstance(tensor, torch.Tensor) and tensor.dim() > 1 and tensor.shape[1] != count:
            yield Want("size", tensor, 1, count, why=f"rows of {count}", cost=0.6)


def _measured(node: ast.AST) -> ast.expr | None:
    """What `.shape` or `.size()` is taken of."""
    if isinstance(node, ast.Attribute) and node.attr == "shape":
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "size":
        return node.func.value
    return None


def _container(statement: ast.stmt, frame: FrameType, tracer: Tracer, key: Any, plan: Plan) -> Iterator[Path]:
    """Paths of the arguments from which the statement takes `key`."""
    names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    for name, node in plan.arguments:
        if name in names and name in frame.f_locals and isinstance(node, Leaf | Group):
            yield (name,)
    for path, _ in _named_leaves(statement, frame, tracer, plan):
        if path[0] not in names:
            yield path
    for name, node in plan.arguments:
        if isinstance(node, Group) and node.form in ("dict", "object") and name not in names:
            yield (name,)


def _keyed(statement: ast.stmt, frame: FrameType, tracer: Tracer, key: Any, plan: Plan) -> Iterator[Want]:
    """A missing key grows a dict."""
    if not isinstance(key, str | int):
        return
    for path in _container(statement, frame, tracer, key, plan):
        yield Want("edit", why=f"key {key!r}", cost=0.6, edit=putting(path, _grown(plan, path, key, "dict", frame)))


def _attribute(statement: ast.stmt, frame: FrameType, tracer: Tracer, key: str, plan: Plan) -> Iterator[Want]:
    """A missing attribute makes an object of named parts (a graph, a batch, a nested tensor)."""
    mapping = key in ("items", "keys", "values", "get", "pop", "update")
    for path in _container(statement, frame, tracer, key, plan):
        if mapping:
            yield Want("edit", why="a dict", cost=0.9, edit=putting(path, Group((("x", _leaf_at(plan, path)),), "dict")))
        else:
            yield Want("edit", why=f"attribute {key}", cost=0.7, edit=putting(path, _grown(plan, path, key, "object", frame)))


def _leaf_at(plan: Plan, path: Path) -> Leaf:
    node = plan.get(path)
    return node if isinstance(node, Leaf) else Leaf(("B", 10))


def keyed(info: ModelInfo, key: str, group: Group | None = None) -> Group:
    """A dict with that key, guessed by its name, beside what `group` holds already."""
    items = group.items if group is not None else ()
    return Group((*items, (key, guess(Argument(key), info, 0))), "dict")


def _grown(plan: Plan, path: Path, key: str | int, form: str, frame: FrameType) -> Group:
    """The dict or object at `path` with one more entry, guessed by its name."""
    node = plan.get(path)
    group = node if isinstance(node, Group) and node.form in ("dict", "object") else Group((), form)
    owner = receiver(frame)
    new = guess(Argument(str(key)), ModelInfo(owner), 0) if isinstance(owner, nn.Module) else _leaf_at(plan, path)
    return replace(group, items=(*group.items, (key, new)))
