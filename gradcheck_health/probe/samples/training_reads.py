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
from dataclasses import dataclass, field
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
_FILLS = "fills "
"""In front of names: eval mode does not write into parts of these, which have to be tensors."""


@dataclass
class _Place:
    """A line that reads it."""

    names: Mapping[str, Any]
    """Those of its module."""
    filled: tuple[str, ...]
    readers: dict[int, nn.Module] = field(default_factory=dict)
    tensors: bool = True
    """All that is filled there."""


class TrainingReads:
    """The places that read it."""

    def __init__(self) -> None:
        self._places: dict[tuple[CodeType, int], _Place] = {}
        self._blind = False

    @contextlib.contextmanager
    def noticed(self) -> Iterator[None]:
        """Reading goes through a property of `nn.Module` meanwhile."""
        places = self._places

        def read(module: nn.Module) -> bool:
            frame: FrameType = sys._getframe(1)
            key = frame.f_code, frame.f_lineno
            if key not in places:
                places[key] = _Place(frame.f_globals, _filled(*key))
            place = places[key]
            place.readers[id(module)] = module
            if place.filled:
                place.tensors &= all(isinstance(frame.f_locals.get(name), torch.Tensor) for name in place.filled)
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
        return not self._blind and all(
            _alike(*key, place.names, place.readers) and place.tensors for key, place in self._places.items()
        )


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
    if (less := _does_less(node, parents)) is not None:
        return less
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


def _filled(code: CodeType, line: int) -> tuple[str, ...]:
    called = next((called for chosen, called in _rates(code) if chosen == line), "")
    return tuple(called.removeprefix(_FILLS).split()) if called.startswith(_FILLS) else ()


def _does_less(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> str | None:
    """`if not self.training: return x`, `if self.training: x.requires_grad = True`, and what writes into `x[mask]` there.

    With further conditions or without.
    """
    above, negated = parents.get(node), False
    while isinstance(above, ast.BoolOp | ast.UnaryOp):
        if isinstance(above, ast.UnaryOp):
            negated = not negated
        elif isinstance(above.op, ast.Or) is not negated:
            return None
        node, above = above, parents.get(above)
    if not isinstance(above, ast.If) or above.test is not node or above.orelse:
        return None
    if negated:
        leaves = len(above.body) == 1 and isinstance(above.body[0], ast.Return) and isinstance(above.body[0].value, ast.Name)
        return _LESS if leaves else None
    if all(isinstance(one, ast.Assign) and _asks_for_gradient(one) for one in above.body):
        return _LESS
    return _FILLS + " ".join(names) if (names := _fills_in(above, parents)) else None


def _fills_in(branch: ast.If, parents: Mapping[ast.AST, ast.AST]) -> list[str]:
    """What it writes into parts of, by the help of names that nothing reads behind it; none where it does anything else."""
    helpers, filled, inside = set(), [], set(ast.walk(branch))
    for target in (target for one in branch.body for target in (one.targets if isinstance(one, ast.Assign) else [one])):
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            filled.append(target.value.id)
        elif isinstance(target, ast.Name):
            helpers.add(target.id)
        else:
            return []
    root: ast.AST = branch
    while (above := parents.get(root)) is not None:
        if isinstance(above, ast.For | ast.While | ast.AsyncFor):
            return []  # what stands before it comes behind it
        root = above
    read = {node.id for node in ast.walk(root) if isinstance(node, ast.Name) and node not in inside and _behind(node, branch)}
    return [] if helpers & {*read, *filled} else filled


def _behind(node: ast.Name, branch: ast.If) -> bool:
    return node.lineno > (branch.end_lineno or branch.lineno)


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
    if called == _LESS or called.startswith(_FILLS):
        return True
    root, *path = called.split(".")
    if root in ("attention_interface", _DROP_PATH) and names.get("__name__", "").startswith("transformers.models."):
        return True  # its own spellings of attention, all of which take a rate, and of stochastic depth
    value = names.get(root)
    for name in path:
        value = getattr(value, name, None)
    return bool(called) and (getattr(value, "__module__", None) or "").partition(".")[0] == "torch"
