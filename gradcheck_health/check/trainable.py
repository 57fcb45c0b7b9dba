"""Whether a model holds anything that could get a gradient, and what is in the way if it does not."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.nest import tensors
from gradcheck_health.model.sandbox.context import reachable_modules
from gradcheck_health.model.wrappers import own_class
from gradcheck_health.records.errors import ModelError, NothingToCheckError, UsageError


def refuse_transformed() -> None:
    """A check measures values, and there are none to be had while torch only records or transforms what is computed.

    Raises:
        UsageError: it runs inside of `torch.func`, `torch.jit.trace`, `torch.compile` or a fake tensor mode.
    """
    inside = (
        "torch.func (grad, vmap, jvp)"
        if torch._C._functorch.peek_interpreter_stack() is not None
        else "torch.jit.trace"
        if torch._C._is_tracing()
        else "torch.compile"
        if torch.compiler.is_compiling()
        else "a FakeTensorMode"
        if torch._guards.detect_fake_mode() is not None
        else ""
    )
    if inside:
        raise UsageError(f"a check cannot run inside of {inside}, where tensors have no values of their own: call it outside")


def require_trainable(model: nn.Module) -> None:
    """Refuse a model in which nothing could get a gradient.

    Raises:
        NothingToCheckError: it has no parameters, and hides nothing that could be trained: an activation, an encoding, a loss.
        UsageError: what it would train stands where no optimizer looks, is frozen, of integers, or holds no values.
        ModelError: its forward is a coroutine function.
    """
    name = own_class(model).__name__
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError(f"{name} is compiled by torch.jit, and no hook sees what happens in it: check the model before that")
    if not hasattr(model, "_parameters"):
        raise UsageError(f"{name} has no parameters: its __init__ does not call super().__init__() before anything else")
    if inspect.iscoroutinefunction(getattr(model, "forward", None)):
        raise ModelError(f"{name}.forward is a coroutine function (async def), and nothing awaits it: write it as a plain def")
    parameters = list(model.named_parameters())
    if not parameters:
        why = f"{name} has no parameters, so there is no gradient to check"
        if hidden := _hidden(model):
            raise UsageError(f"{why}: {hidden}")
        raise NothingToCheckError(f"{why}: there is nothing to train")
    floating = [(key, p) for key, p in parameters if p.is_floating_point() or p.is_complex()]
    if not floating:
        raise UsageError(
            f"all {len(parameters)} parameters of {name} are integers (quantised): check the float model before quantisation"
        )
    if not any(p.requires_grad for _, p in floating):
        raise UsageError(
            f"all {len(parameters)} parameters of {name} are frozen (requires_grad is False): nothing would get a gradient"
        )
    meta = [key for key, p in parameters if p.is_meta]
    if meta:
        raise UsageError(
            f"{name} is on the meta device ({meta[0]} and {len(meta) - 1} more hold no values): "
            "model.to_empty(device='cpu'), then initialise it"
        )


def _hidden(model: nn.Module) -> str:
    """Trainable tensors where `parameters()` does not find them, and what to use instead; "" if there are none."""
    if len(reachable_modules(model)) > len(list(model.modules())):
        return "its layers may hide in a plain list: use nn.ModuleList"
    if any(tensor.requires_grad for module in model.modules() for tensor in tensors(vars(module))):
        return "it trains a plain tensor: use nn.Parameter"
    for name, value in _globals_of(type(model)):
        if any(tensor.requires_grad for tensor in (value.parameters() if isinstance(value, nn.Module) else [value])):
            return f"it uses {name!r}, which stands outside of it: make it an attribute"
    return ""


def _globals_of(cls: type) -> Iterator[tuple[str, Any]]:
    """Tensors and modules among the global variables that the methods of a class refer to."""
    for value in vars(cls).values():
        if isinstance(function := inspect.unwrap(value) if callable(value) else None, FunctionType):
            for name in function.__code__.co_names:
                if isinstance(found := function.__globals__.get(name), torch.Tensor | nn.Module):
                    yield name, found
