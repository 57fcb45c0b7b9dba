"""One forward and one backward pass, bare or under observation."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import random
import sys
import traceback
from collections import UserDict
from collections.abc import Iterable, Iterator
from functools import cache
from types import FrameType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from gradcheck_health.batch import Inputs
from gradcheck_health.errors import GradhealthError, ModelError
from gradcheck_health.probe import graph as graphs
from gradcheck_health.probe.names import layer_names, registered, unwrap
from gradcheck_health.probe.objective import Objective
from gradcheck_health.probe.saved_tensor import SavedGradient


def fresh(value: Any) -> Any:
    """The same nest with every tensor cloned, so that a model that works in place cannot spoil the batch."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(fresh(item) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(fresh(item) for item in value)
    if isinstance(value, dict):
        copied = {key: fresh(item) for key, item in value.items()}
        return copied if type(value) is dict else _like(value, copied)
    if isinstance(value, SimpleNamespace | UserDict) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return _fresh_record(value)
    return value


def _fresh_record(value: Any) -> Any:
    """A copy whose attributes are fresh, made without its constructor."""
    copied = copy.copy(value)
    names = vars(value) if hasattr(value, "__dict__") else [field.name for field in dataclasses.fields(value)]
    for name in names:
        object.__setattr__(copied, name, fresh(getattr(value, name)))  # it may be frozen
    return copied


def _like(value: dict[Any, Any], copied: dict[Any, Any]) -> Any:
    try:
        return type(value)(copied)
    except Exception:  # noqa: BLE001 - some mapping of the user's with a constructor of its own
        return copied


def call(model: nn.Module, inputs: Inputs, seed: int) -> Any:
    """The model's output on a fresh copy of the batch, every random draw from `seed`.

    Raises:
        ModelError: forward raised; says what, in which layer and on which line.
    """
    seed_everything(seed)
    torch.clear_autocast_cache()  # casts of weights that a fact has changed since
    with eager():
        args, kwargs = fresh(inputs.args), fresh(dict(inputs.kwargs))
        try:
            return model(*args, **kwargs)
        except GradhealthError:
            raise
        except Exception as error:
            raise ModelError(_forward_failed(model, inputs, error)) from error


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Gradients on, whatever surrounds the check; compiled code runs eagerly, because no hook fires inside it."""
    with contextlib.ExitStack() as stack:
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield


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


class _Seed(torch.autograd.Function):
    """A scalar whose gradients with respect to its arguments are given.

    `torch.autograd.backward(roots, gradients)` is the same, and imports sympy to compare shapes: a third of a second.
    """

    @staticmethod
    def forward(ctx: Any, gradients: tuple[torch.Tensor, ...], *roots: torch.Tensor) -> torch.Tensor:
        ctx.gradients = gradients
        return torch.zeros(())

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> Any:
        return (None, *ctx.gradients)


def backward(goal: Objective, model: nn.Module, leaves: Iterable[torch.Tensor] | None = None) -> None:
    """The gradient of the goal into `.grad` of the model's parameters, and of no other tensor.

    Args:
        leaves: those of the graph, where it has been walked already.
    """
    if not goal.roots:
        return
    if leaves is None:
        leaves = leaves_of(goal)
    own = registered(model)
    foreign = [SavedGradient(leaf) for leaf in leaves if id(leaf) not in own]
    try:
        for saved in foreign:
            saved.detach()
        with torch.inference_mode(False), torch.enable_grad():
            start = _Seed.apply(goal.gradients, *goal.roots)  # type: ignore[no-untyped-call]
        start.backward()
    finally:
        for saved in foreign:
            saved.restore()


def leaves_of(goal: Objective) -> list[torch.Tensor]:
    """The leaves of its graph; none where the graph is too large to be walked."""
    graph = graphs.walk([root.grad_fn for root in goal.roots if root.grad_fn is not None])
    return [] if graph is None else graph.variables()


def user_frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """The frames of an error that lie outside torch and this package, innermost first."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_user_file(frame.filename):
            yield frame


CALLER = __file__
"""What lies further out than this file on the stack is not part of forward."""
_OURS = __file__.rpartition("passes")[0]
_TORCH = torch.__file__.rpartition("__init__")[0]


def is_user_file(filename: str) -> bool:
    """Not a file of torch's, of the probe's, or without a file at all."""
    return not filename.startswith((_TORCH, _OURS, "<"))


def safe_text(error: BaseException) -> str:
    """`str(error)`, also where that raises in its turn."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - it is the user's
        text = "(its text could not be made)"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines)[:500]


def _forward_failed(model: nn.Module, inputs: Inputs, error: Exception) -> str:
    name = type(unwrap(model)).__name__
    lines = [f"{name}.forward raised {type(error).__name__}: {safe_text(error)}"]
    layer = _failing_layer(model, error)
    frame = next(user_frames(error), None)
    where = [layer] if layer else []
    where += [f"{frame.filename}:{frame.lineno}"] if frame else []
    if where:
        lines.append(f"  at      {', '.join(where)}")
    lines.append(f"  inputs  {inputs.describe()} ({inputs.origin})")
    if inputs.made_up:
        lines.append("  help    these inputs were made up: pass inputs= if the model needs others")
    return "\n".join(lines)


def receiver(frame: FrameType) -> Any:
    """The object whose method this frame runs, however the method calls it (`self`, most of the time)."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _failing_layer(model: nn.Module, error: Exception) -> str:
    """Path of the innermost module whose call is on the error's stack."""
    names, found = layer_names(unwrap(model)), ""
    step = error.__traceback__
    while step is not None:
        owner = receiver(step.tb_frame)
        if isinstance(owner, nn.Module) and names.get(id(owner)):
            found = f"{names[id(owner)]} ({type(owner).__name__})"
        step = step.tb_next
    return found
