"""Read the failing Python statement: which tensor it compares, unpacks, indexes or misses, and what would satisfy it."""

from __future__ import annotations

import ast
import linecache
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gradcheck_health.inputs.observation.tracer import Tracer
from gradcheck_health.inputs.plan import Group, Leaf, Plan
from gradcheck_health.inputs.static.argument_roles import guess
from gradcheck_health.inputs.static.function_source import function_of
from gradcheck_health.inputs.static.huggingface import input_named, placeholders
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.static.signature import Argument
from gradcheck_health.inputs.wants.comparisons import comparison_wants
from gradcheck_health.inputs.wants.containers import container_wants, keyed, listed
from gradcheck_health.inputs.wants.einops import pattern_wants
from gradcheck_health.inputs.wants.failing_statement import failing_statement
from gradcheck_health.inputs.wants.memberships import membership_wants
from gradcheck_health.inputs.wants.recurrent import recurrent_wants
from gradcheck_health.inputs.wants.want import Want, putting
from gradcheck_health.model.source.frames import receiver
from gradcheck_health.records.errors import message_of as text_of
from gradcheck_health.records.frames import is_package_file

_NO_TENSOR = re.compile(
    r"\bgot \((?:\w+, )*dict\b|must be Tensor, not dict|operand type.*'dict'|'dict' object has no attribute '(\w+)'"
    r"|unhashable type: 'slice'|^\(?(?:slice\(|Ellipsis)"
)
"""A dict arrived where a tensor belongs."""


def python_wants(plan: Plan, tracer: Tracer, error: Exception, info: ModelInfo, operation: bool) -> list[Want]:
    """Wants of the Python code around the failure; `operation`: the operation that failed has given some already."""
    walked = traceback.walk_tb(error.__traceback__)
    frames = [(frame, line) for frame, line in walked if not is_package_file(frame.f_code.co_filename)]
    message = text_of(error)
    wants = list(_missing(plan, info, message, frames))
    wants += _misannotated(plan, info, message)
    wants += pattern_wants(frames)
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        for name, node in plan.arguments:
            # keys that come from the model's own tables stand in no statement
            if isinstance(node, Group) and node.form == "dict" and error.args[0] not in dict(node.items):
                wants.append(
                    Want("edit", why=f"key {error.args[0]!r}", edit=putting((name,), keyed(info, error.args[0], node)))
                )
    for step, filled in enumerate(placeholders(plan, message, info)):
        wants.append(Want("edit", why="placeholder tokens", cost=0.5 + 0.1 * step, edit=_instead(filled)))
    for path in tracer.apart:
        counts = [len(m) for m in info.owner.modules() if isinstance(m, nn.ModuleList)] + [2, 3]
        leaf = plan.get(path)
        if not isinstance(leaf, Leaf) or leaf.fixed:
            continue
        for count in dict.fromkeys(counts[:6]):
            wants.append(Want("edit", why=f"a list of {count}", cost=1.5, edit=putting(path, listed(leaf, count))))
    for frame, _ in reversed(frames[-6:]):
        if isinstance(receiver(frame), nn.Module):
            wants += recurrent_wants(frame)
            break
    for frame, line in reversed(frames[-4:]):
        statement = failing_statement(frame, line)
        if statement is not None:
            wants += container_wants(statement, frame, tracer, error, plan)
            wants += membership_wants(statement, frame, error, plan)
            if not operation:
                wants += comparison_wants(statement, frame, tracer, message)
    return wants


def _missing(plan: Plan, info: ModelInfo, message: str, frames: list[Any]) -> Iterator[Want]:
    """Arguments that turn out to be needed, and keyword arguments that are not known."""
    present = {name for name, _ in plan.arguments}
    for match in re.findall(r"unexpected keyword argument '(\w+)'", message):
        if match in present:
            yield Want("edit", why=f"{match} is unknown", edit=_instead(plan.drop(match)), cost=0.5)
    line = ""
    if frames:
        frame, number = frames[-1]
        line = linecache.getline(frame.f_code.co_filename, number, frame.f_globals)
    for name in re.findall(r"missing \d+ required (?:positional|keyword-only) arguments?: (.*)", message):
        for word in re.findall(r"'(\w+)'", name):
            if word not in present:
                yield _supply(info, word, 0.6)
    none = "None" in message or "must be Tensor, not" in message
    missed = _missed(info, frames)
    for position, argument in enumerate(info.signature.arguments):
        if argument.name in present or argument.required or not _tensor_like(argument):
            continue
        mentioned = re.search(rf"\b{re.escape(argument.name)}\b", message, re.I) is not None
        written = re.search(rf"\b{re.escape(argument.name)}\b", line) is not None
        if none or mentioned or argument.name in missed or (written and argument.default is None):
            near = mentioned or written or argument.name in missed
            yield _supply(info, argument.name, 0.9 + 0.05 * position + (0 if near else 0.8))


def _misannotated(plan: Plan, info: ModelInfo, message: str) -> Iterator[Want]:
    """The annotation says that it is a dict, and what forward does with it says that it is a tensor: forward is right."""
    refused = _NO_TENSOR.search(message)
    if refused is None or (refused[1] and not hasattr(torch.Tensor, refused[1])):
        return
    for name, node in plan.arguments:
        if isinstance(node, Group) and node.form == "dict" and not node.items:
            argument = replace(info.signature.find(name) or Argument(name), annotation="")
            yield Want("edit", why=f"{name} is a tensor", cost=0.5, edit=putting((name,), guess(argument, info, 0)))


def _missed(info: ModelInfo, frames: list[Any]) -> set[str]:
    """Names without which forward went where it failed: the failing line stands under `if name is None`."""
    forward = getattr(type(info.owner), "forward", None)
    function = function_of(forward)
    code = getattr(forward, "__code__", None)
    lines = [line - code.co_firstlineno + 1 for frame, line in frames if code is not None and frame.f_code is code]
    return {
        node.test.left.id
        for node in (ast.walk(function) if function is not None else ())
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and isinstance(node.test.ops[0], ast.Is)
        and any(node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0) for line in lines)
    }


def _instead(changed: Plan) -> Callable[[Plan], list[Plan]]:
    return lambda plan: [changed]


def _tensor_like(argument: Argument) -> bool:
    return argument.default is None and not re.fullmatch(r"(optional\[)?(bool|str|float)\]?( \| none)?", argument.annotation)


def _supply(info: ModelInfo, name: str, cost: float) -> Want:
    argument = info.signature.find(name) or Argument(name)
    node = input_named(info, name) or guess(argument, info, 0)
    return Want("edit", why=f"{name} is needed", edit=putting((name,), node), cost=cost)
