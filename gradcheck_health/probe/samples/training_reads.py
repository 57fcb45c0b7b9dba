"""Who reads `module.training` during a forward pass, and whether it runs the same operations in eval mode.

The samples are followed in the mode that the model is in, and what counts is eval mode.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import CodeType, FrameType
from typing import Any

import torch
from torch import nn

_TORCH = os.path.dirname(torch.__file__) + os.sep
_ALIKE = frozenset(
    (
        ("timm.layers.norm_act", "forward"),  # as torch's batch norm
        ("timm.layers.drop", "forward"),
        ("torchvision.ops.stochastic_depth", "forward"),
        ("torchvision.models.swin_transformer", "forward"),
        *((f"timm.models.{name}", "get_attention_biases") for name in ("levit", "efficientvit_msra", "efficientformer_v2")),
        ("timm.models.efficientvit_msra", "forward"),
        # the mean of two heads instead of both, and no auxiliary heads
        *((f"timm.models.{name}", "forward_head") for name in ("levit", "efficientformer_v2")),
        ("timm.models.repvit", "forward"),
        *(("torchvision.models.googlenet", name) for name in ("_forward", "eager_outputs", "forward")),
    )
)
"""(module, function) of libraries whose layers leave something out in eval mode and do nothing that joins samples instead."""
_RATES = ("training", "dropout_p", "dropout")
"""Arguments of functions of torch that say how much is dropped."""
_DROP_PATH = "drop_path"
_LESS = "less in eval mode"
"""Instead of a function: eval mode leaves something out there."""
_UNLESS = "unless "
"""In front of an attribute: where it is zero, neither mode goes there."""


class TrainingReads:
    """The places that read it."""

    def __init__(self) -> None:
        self._places: dict[tuple[CodeType, int], tuple[Mapping[str, Any], dict[int, nn.Module]]] = {}
        self._blind = False

    @contextlib.contextmanager
    def noticed(self) -> Iterator[None]:
        """Reading goes through a property of `nn.Module` meanwhile."""
        places = self._places

        def read(module: nn.Module) -> bool:
            frame: FrameType = sys._getframe(1)
            key = frame.f_code, frame.f_lineno
            if key not in places:
                places[key] = frame.f_globals, {}
            places[key][1][id(module)] = module
            try:
                value: bool = vars(module)["training"]
            except KeyError:
                raise AttributeError("training") from None
            return value

        if "training" in vars(nn.Module):  # a check inside of forward, or in another thread
            self._blind = True
            yield
            return
        nn.Module.training = property(read, lambda module, value: vars(module).__setitem__("training", value))  # type: ignore[assignment]
        try:
            yield
        finally:
            del nn.Module.training

    def alike(self) -> bool:
        """Eval mode runs the same operations, or fewer."""
        return not self._blind and all(_alike(*place, *seen) for place, seen in self._places.items())


def _alike(code: CodeType, line: int, names: Mapping[str, Any], readers: Mapping[int, nn.Module]) -> bool:
    if code.co_filename.startswith(_TORCH) or (names.get("__name__"), code.co_name) in _ALIKE:
        return True
    return any(chosen == line for chosen, _ in _rates(code)) and all(
        _is_zero(called, readers.values()) if called.startswith(_UNLESS) else _of_torch(called, names)
        for chosen, called in _rates(code)
        if chosen == line
    )


@cache
def _rates(code: CodeType) -> tuple[tuple[int, str], ...]:
    """Line and called function, "" where it does not only choose a rate, of each place that reads it."""
    try:
        lines, first = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError, TypeError):
        return ()
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    reads = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "training"]
    return tuple((first + node.lineno - 1, _called(node, parents)) for node in reads)


def _called(node: ast.Attribute, parents: Mapping[ast.AST, ast.AST]) -> str:
    if _does_less(node, parents):
        return _LESS
    if rate := _rate_of(node, parents):
        return _UNLESS + rate
    chosen: ast.AST = node
    above = parents.get(node)
    while isinstance(above, ast.UnaryOp | ast.IfExp):
        if isinstance(above, ast.IfExp) and (chosen is not above.test or any(map(_computes, (above.body, above.orelse)))):
            return ""
        chosen, above = above, parents.get(above)
    call = parents.get(above) if isinstance(above, ast.keyword) and above.arg in _RATES else None
    if isinstance(above, ast.Call) and chosen in above.args and ast.unparse(above.func) == _DROP_PATH:
        call = above
    return ast.unparse(call.func) if isinstance(call, ast.Call) else ""


def _does_less(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """`if not self.training: return x`, and `if self.training: x.requires_grad = True`, with further conditions or without."""
    above, negated = parents.get(node), False
    while isinstance(above, ast.BoolOp | ast.UnaryOp):
        if isinstance(above, ast.UnaryOp):
            negated = not negated
        elif isinstance(above.op, ast.Or) is not negated:
            return False
        node, above = above, parents.get(above)
    if not isinstance(above, ast.If) or above.test is not node or above.orelse:
        return False
    if negated:
        return len(above.body) == 1 and isinstance(above.body[0], ast.Return) and isinstance(above.body[0].value, ast.Name)
    return all(isinstance(one, ast.Assign) and _asks_for_gradient(one) for one in above.body)


def _rate_of(node: ast.Attribute, parents: Mapping[ast.AST, ast.AST]) -> str:
    """`layerdrop` of `self.training and self.layerdrop > 0.0`."""
    both, root = parents.get(node), ast.unparse(node.value)
    for one in both.values if isinstance(both, ast.BoolOp) and isinstance(both.op, ast.And) else ():
        if isinstance(one, ast.Compare) and isinstance(one.left, ast.Attribute) and isinstance(one.ops[0], ast.Gt):
            owner, _, path = ast.unparse(one.left).partition(".")
            if len(one.ops) == 1 and owner == root and ast.unparse(one.comparators[0]) in ("0", "0.0"):
                return path
    return ""


def _is_zero(rate: str, readers: Iterable[nn.Module]) -> bool:
    values = []
    for reader in readers:
        value: Any = reader
        for name in rate.removeprefix(_UNLESS).split("."):
            value = getattr(value, name, None)
        values.append(value)
    return all(type(value) in (int, float) and value <= 0 for value in values)


def _asks_for_gradient(statement: ast.Assign) -> bool:
    targets = statement.targets
    return isinstance(statement.value, ast.Constant) and all(
        isinstance(one, ast.Attribute) and one.attr == "requires_grad" for one in targets
    )


def _computes(node: ast.AST) -> bool:
    return any(not isinstance(part, ast.Constant | ast.Attribute | ast.Name | ast.expr_context) for part in ast.walk(node))


def _of_torch(called: str, names: Mapping[str, Any]) -> bool:
    if called == _LESS:
        return True
    root, *path = called.split(".")
    if root in ("attention_interface", _DROP_PATH) and names.get("__name__", "").startswith("transformers.models."):
        return True  # its own spellings of attention, all of which take a rate, and of stochastic depth
    value = names.get(root)
    for name in path:
        value = getattr(value, name, None)
    return bool(called) and (getattr(value, "__module__", None) or "").partition(".")[0] == "torch"
