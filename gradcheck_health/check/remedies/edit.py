"""Exchanging operations of a model: one function mode, which the forward of each of its modules enters.

In the forward of every module, not of the root alone: activation checkpointing calls a part of forward again during backward.
Where that part is a function that belongs to no module, an operation in it would be exchanged once and not the second time:
that raises `NotMeasuredError`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.names import layer_names
from gradcheck_health.records.errors import ModelError

Editor = Callable[[Any, Any, Any, str], Any]
"""(function, args, kwargs, layer) -> what the call returns instead; NotImplemented where it stays as it is."""


class NotMeasuredError(ModelError):
    """A remedy cannot be tried on this model without being wrong about it."""


class Edit(TorchFunctionMode):
    def __init__(self, editor: Editor) -> None:
        super().__init__()
        self._editor = editor
        self._layers: list[str] = []

    @contextlib.contextmanager
    def inside(self, layer: str) -> Iterator[None]:
        self._layers.append(layer)
        try:
            with self if len(self._layers) == 1 else contextlib.nullcontext():
                yield
        finally:
            self._layers.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self._layers:  # a mode that forward pushed and never popped lies over this one
            return func(*args, **kwargs)
        out = self._editor(func, args, kwargs, self._layers[-1])
        if out is NotImplemented:
            return func(*args, **kwargs)
        _refuse_bare_checkpoint()
        return out


def edit(model: nn.Module, editor: Editor) -> Edit:
    """From now on what `editor` returns stands for the operations of the model's forward; undone by the sandbox around it.

    Returns:
        The mode, for what is computed behind the model.
    """
    mode, names = Edit(editor), layer_names(model)
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # shows no operation
        own, name = vars(module).get("forward"), names[id(module)]
        if own is None:
            _exchange_class(module, mode, name)
        elif inspect.ismethod(own):
            vars(module)["forward"] = types.MethodType(_entering(own.__func__, mode, name), module)
        else:
            vars(module)["forward"] = _entering(own, mode, name)
    return mode


def _exchange_class(module: nn.Module, mode: Edit, name: str) -> None:
    cls: Any = type(module)
    # under the name of the class, so that everything that reads it goes on to do so
    body = {"forward": _entering(cls.forward, mode, name), "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    object.__setattr__(module, "__class__", type(cls)(cls.__name__, (cls,), body))


def _entering(forward: Callable[..., Any], mode: Edit, name: str) -> Callable[..., Any]:
    @functools.wraps(forward)  # its signature is what inputs are checked against
    def edited(*args: Any, **kwargs: Any) -> Any:
        with mode.inside(name):
            return forward(*args, **kwargs)

    return edited


def _refuse_bare_checkpoint() -> None:
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "edited" and code.co_filename == __file__:
            return
        if code.co_filename.endswith("checkpoint.py") and "torch" in code.co_filename:
            raise NotMeasuredError("it acts inside a checkpointed function that belongs to no module")
        frame = frame.f_back  # type: ignore[assignment]
