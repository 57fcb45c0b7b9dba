"""One forward and one backward pass, bare or under observation."""

from __future__ import annotations

import contextlib
import random
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from os import _exit, getpid  # bound here: a model may replace those of `os`
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from gradcheck_health.model.distributed.groups import ranks_apart
from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.model.distributed.shards import settle
from gradcheck_health.model.names import layer_names
from gradcheck_health.model.nest import fresh
from gradcheck_health.model.source.frames import receiver
from gradcheck_health.model.wrappers import own_class, unwrap
from gradcheck_health.records.errors import GradhealthError, ModelError
from gradcheck_health.records.frames import is_user_file
from gradcheck_health.records.inputs import Inputs

_COUNTED: ContextVar[list[Inputs] | None] = ContextVar("counted", default=None)


@contextlib.contextmanager
def calls_counted() -> Iterator[list[Inputs]]:
    """What the model is called with inside the block."""
    found: list[Inputs] = []
    token = _COUNTED.set(found)
    try:
        yield found
    finally:
        _COUNTED.reset(token)


def call(model: nn.Module, inputs: Inputs, seed: int, *, apart: bool = True) -> Any:
    """The model's output on a fresh copy of the batch, every random draw from `seed`.

    Args:
        apart: the backward pass from it leaves each rank its own gradients; False: as in training.

    Raises:
        ModelError: forward raised; says what, in which layer and on which line.
    """
    if (counted := _COUNTED.get()) is not None:
        counted.append(inputs)
    seed_everything(seed)
    torch.clear_autocast_cache()  # casts of weights that a fact has changed since
    with eager():
        args, kwargs = fresh(inputs.args), fresh(dict(inputs.kwargs))
        process = getpid()
        try:
            with jointly("forward"), ranks_apart(model) if apart else contextlib.nullcontext():
                return model(*args, **kwargs)
        except GradhealthError:
            raise
        except Exception as error:
            settle(model)
            raise ModelError(_forward_failed(model, inputs, error)) from error
        finally:
            if getpid() != process:  # a copy that forward forked: it would check on, and fork again at every pass
                _exit(0)


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Gradients on, whatever surrounds the check; compiled code runs eagerly, because no hook fires inside it."""
    with contextlib.ExitStack() as stack:
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield


@contextlib.contextmanager
def running_modules(model: nn.Module) -> Iterator[list[str]]:
    """Paths of the modules of the model whose forward is running, the innermost last; "", the model itself, is always there."""
    names, stack = layer_names(unwrap(model)), [""]

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        stack.pop()

    handles = (
        register_module_forward_pre_hook(lambda module, args: stack.append(names.get(id(module), stack[-1]))),
        register_module_forward_hook(leave, always_call=True),
    )
    try:
        yield stack
    finally:
        for handle in handles:
            handle.remove()


def seed_everything(seed: int) -> None:
    """Every generator that a forward pass or a constructor draws from."""
    if _has_accelerator():
        torch.manual_seed(seed)
    else:  # half a millisecond less: torch formats a stack for every kind of device that is not there
        torch.default_generator.manual_seed(seed)
    random.seed(seed)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed(seed % 2**32)


def drew(seed: int) -> bool:
    """Something was drawn from a generator of the process since `seed_everything(seed)`."""
    numpy = sys.modules.get("numpy.random")
    if random.getstate() != random.Random(seed).getstate():
        return True
    if numpy is not None and (numpy.get_state()[1] != numpy.RandomState(seed % 2**32).get_state()[1]).any():
        return True
    generators = [torch.default_generator]
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        generators += torch.cuda.default_generators
    return any(
        not torch.equal(one.get_state(), torch.Generator(one.device).manual_seed(seed).get_state()) for one in generators
    )


@cache
def _has_accelerator() -> bool:
    return torch.accelerator.is_available()


def safe_text(error: BaseException) -> str:
    """`str(error)`, also where that raises in its turn."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - it is the user's
        text = "(its text could not be made)"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines)[:500]


def _forward_failed(model: nn.Module, inputs: Inputs, error: Exception) -> str:
    name = own_class(unwrap(model)).__name__
    lines = [f"{name}.forward raised {type(error).__name__}: {safe_text(error)}"]
    layer = _failing_layer(model, error)
    frames = reversed(traceback.extract_tb(error.__traceback__))
    frame = next((frame for frame in frames if is_user_file(frame.filename)), None)
    where = [layer] if layer else []
    where += [f"{frame.filename}:{frame.lineno}"] if frame else []
    if where:
        lines.append(f"  at      {', '.join(where)}")
    lines.append(f"  inputs  {inputs.describe()} ({inputs.origin})")
    if inputs.made_up:
        lines.append("  help    these inputs were made up: pass inputs= if the model needs others")
    return "\n".join(lines)


def _failing_layer(model: nn.Module, error: Exception) -> str:
    """Path of the innermost module whose call is on the error's stack."""
    names, found = layer_names(unwrap(model)), ""
    step = error.__traceback__
    while step is not None:
        owner = receiver(step.tb_frame)
        if isinstance(owner, nn.Module) and names.get(id(owner)):
            found = f"{names[id(owner)]} ({own_class(owner).__name__})"
        step = step.tb_next
    return found
