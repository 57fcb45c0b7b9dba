"""Evaluate the failing comparison: `assert H == self.img_size[0]`, `if a != b: raise`, `if H % p: raise`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from types import FrameType

import torch

from gradcheck_health.inputs.observation.tracer import Tracer
from gradcheck_health.inputs.plan import Group
from gradcheck_health.inputs.wants.failing_statement import evaluate
from gradcheck_health.inputs.wants.want import Want, putting, wrapping


def comparison_wants(statement: ast.stmt, frame: FrameType, tracer: Tracer, message: str) -> Iterator[Want]:
    """Wishes that would make an assertion hold, or keep a raising branch from being taken."""
    if isinstance(statement, ast.Assert):
        yield from _hold(statement.test, frame, tracer, True)
    elif isinstance(statement, ast.If) and any(isinstance(node, ast.Raise) for node in ast.walk(statement)):
        yield from _hold(statement.test, frame, tracer, False)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and statement.value.args:
        # functions such as torch._assert(condition, text)
        yield from _hold(statement.value.args[0], frame, tracer, True)


def _hold(test: ast.expr, frame: FrameType, tracer: Tracer, wanted: bool) -> Iterator[Want]:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _hold(test.operand, frame, tracer, not wanted)
    elif isinstance(test, ast.BoolOp):
        for value in test.values:
            yield from _hold(value, frame, tracer, wanted)
    elif isinstance(test, ast.Compare) and len(test.ops) == 1:
        yield from _compare(test, frame, tracer, wanted)
    elif isinstance(test, ast.BinOp) and isinstance(test.op, ast.Mod) and not wanted:
        yield from _multiple(test, frame, tracer)
    elif (
        isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance" and len(test.args) == 2
    ):
        yield from _typed(test, frame, tracer, wanted)


def _compare(test: ast.Compare, frame: FrameType, tracer: Tracer, wanted: bool) -> Iterator[Want]:
    left, right, op = test.left, test.comparators[0], test.ops[0]
    a, b = evaluate(left, frame), evaluate(right, frame)
    equality = isinstance(op, ast.Eq) if wanted else isinstance(op, ast.NotEq)
    text = ast.unparse(test)[:60]
    if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mod) and b == 0 and equality:
        yield from _multiple(left, frame, tracer)
        return
    for node, got, other in ((left, a, b), (right, b, a)):
        if isinstance(got, bool) or isinstance(other, bool) or got is None or other is None:
            continue
        for what, tensor, dim in _measured(node, frame):
            if what == "rank" and isinstance(other, int):
                yield Want("rank", tensor, value=dim + _bound(op, other, wanted, node is right), why=text, cost=0.6)
            elif what == "rank" and isinstance(other, tuple | list) and all(isinstance(n, int) for n in other):
                yield Want("rank", tensor, value=tuple(other), why=text, cost=0.6)
            elif what == "size" and isinstance(other, int):
                wish = "size" if equality else "least"
                yield Want(wish, tensor, dim, _bound(op, other, wanted, node is right), why=text, cost=0.6)
            elif what == "shape" and isinstance(other, tuple | list) and all(isinstance(n, int) for n in other):
                yield from _shaped(tensor, dim, tuple(other), text)
            elif what == "dtype":
                yield Want("kind", tensor, value=_kind(other), why=text, cost=0.6)
        if isinstance(node, ast.Name) and isinstance(got, torch.dtype) and isinstance(other, torch.dtype):
            held = [value for value in frame.f_locals.values() if isinstance(value, torch.Tensor) and value.dtype == got]
            yield from (Want("kind", tensor, value=_kind(other), why=text, cost=0.7) for tensor in held)
        if isinstance(node, ast.Name) and isinstance(got, int) and isinstance(other, int):
            yield from _by_number(got, other, op, frame, wanted, text, node is right)


def _kind(dtype: object) -> str:
    if dtype is torch.bool:
        return "bool"
    return "float" if isinstance(dtype, torch.dtype) and dtype.is_floating_point else "int"


def _bound(op: ast.cmpop, other: int, wanted: bool, mirrored: bool) -> int:
    """The nearest number on the right side of the comparison."""
    strict = isinstance(op, ast.Gt | ast.Lt) == wanted
    if isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
        return other
    upward = isinstance(op, ast.Gt | ast.GtE) == (wanted != mirrored)
    return other + (1 if upward else -1) * int(strict)


def _measured(node: ast.AST, frame: FrameType) -> Iterator[tuple[str, torch.Tensor, int]]:
    """What an expression measures of a tensor: a size, the rank (or what is left of it), the whole shape, the dtype."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        tensor = evaluate(node.func.value, frame)
        if isinstance(tensor, torch.Tensor):
            if node.func.attr in ("dim", "ndimension"):
                yield "rank", tensor, 0
            elif node.func.attr == "size" and node.args and isinstance(d := evaluate(node.args[0], frame), int):
                yield "size", tensor, d
            elif node.func.attr == "size":
                yield "shape", tensor, 0
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("len", "tuple", "list")
        and node.args
    ):
        inner = node.args[0]
        if node.func.id == "len" and isinstance(inner, ast.Attribute) and inner.attr == "shape":
            tensor = evaluate(inner.value, frame)
            if isinstance(tensor, torch.Tensor):
                yield "rank", tensor, 0
        elif node.func.id == "len":
            measured = evaluate(inner, frame)
            if isinstance(measured, torch.Tensor):
                yield "size", measured, 0
            elif isinstance(measured, list):
                yield from _rest_of_a_shape(measured, frame)
        else:
            yield from _measured(inner, frame)
    elif isinstance(node, ast.Attribute) and node.attr in ("ndim", "shape", "dtype"):
        tensor = evaluate(node.value, frame)
        if isinstance(tensor, torch.Tensor):
            yield {"ndim": "rank", "shape": "shape", "dtype": "dtype"}[node.attr], tensor, 0
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
        tensor = evaluate(node.value.value, frame)
        if isinstance(tensor, torch.Tensor):
            if isinstance(node.slice, ast.Slice):
                start = evaluate(node.slice.lower, frame) if node.slice.lower else 0
                yield "shape", tensor, start if isinstance(start, int) else 0
            elif isinstance(d := evaluate(node.slice, frame), int):
                yield "size", tensor, d


def _rest_of_a_shape(sizes: list[object], frame: FrameType) -> Iterator[tuple[str, torch.Tensor, int]]:
    """`b, c, *rest = x.shape`: the rank of x, and how many of its axes are no part of the rest."""
    for value in list(frame.f_locals.values()):
        if isinstance(value, torch.Tensor) and len(sizes) <= value.dim():
            before = value.dim() - len(sizes)
            if list(value.shape[before:]) == sizes:
                yield "rank", value, before


def _shaped(tensor: torch.Tensor, start: int, wanted: tuple[int, ...], why: str) -> Iterator[Want]:
    begin = start if start >= 0 else tensor.dim() + start
    if tensor.dim() - begin != len(wanted):
        yield Want(
            "rank",
            tensor,
            value=begin + len(wanted),
            template=(*("B",) * begin, *wanted) if begin else wanted,
            why=why,
            cost=0.7,
        )
        return
    for offset, size in enumerate(wanted):
        if begin + offset < tensor.dim() and tensor.shape[begin + offset] != size:
            yield Want("size", tensor, begin + offset, size, why=why, cost=0.6)


def _by_number(got: int, other: int, op: ast.cmpop, frame: FrameType, wanted: bool, why: str, mirrored: bool) -> Iterator[Want]:
    """A plain number: the tensor in this frame that has a dimension of that size."""
    target = _bound(op, other, wanted, mirrored)
    if re.fullmatch(r"-?\d+", str(got)) is None or target <= 0:
        return
    for value in list(frame.f_locals.values()):
        if isinstance(value, torch.Tensor):
            for d, size in enumerate(value.shape):
                if size == got:
                    exact = isinstance(
                        op, ast.Eq | ast.NotEq | ast.Lt | ast.LtE if wanted else ast.Eq | ast.NotEq | ast.Gt | ast.GtE
                    )
                    yield Want("size" if exact else "least", value, d, target, why=why, cost=0.8)
            if value.dim() == got:
                yield Want("rank", value, value=target, why=why, cost=0.9)


def _multiple(test: ast.BinOp, frame: FrameType, tracer: Tracer) -> Iterator[Want]:
    divisor, got = evaluate(test.right, frame), evaluate(test.left, frame)
    if not isinstance(divisor, int) or divisor <= 0 or not isinstance(got, int):
        return
    why = f"{ast.unparse(test)[:40]} == 0"
    found = False
    for what, tensor, dim in _measured(test.left, frame):
        if what == "size":
            found = True
            yield Want("multiple", tensor, dim, divisor, why=why, cost=0.6)
    if not found:
        for value in list(frame.f_locals.values()):
            if isinstance(value, torch.Tensor):
                for d, size in enumerate(value.shape):
                    if size == got:
                        yield Want("multiple", value, d, divisor, why=why, cost=0.8)


def _typed(test: ast.Call, frame: FrameType, tracer: Tracer, wanted: bool) -> Iterator[Want]:
    value, types = evaluate(test.args[0], frame), evaluate(test.args[1], frame)
    kinds = types if isinstance(types, tuple) else (types,)
    origin = tracer.origin(value)
    if not wanted or origin is None or origin.layout is None:
        return
    (path,) = origin.paths

    for kind in kinds:
        if kind in (list, tuple):
            yield Want("edit", why=f"a {kind.__name__}", cost=0.8, edit=wrapping(path, kind.__name__, (2, 3)))
        if kind is dict:
            yield Want("edit", why="a dict", cost=0.8, edit=putting(path, Group((), "dict")))
