"""Process-wide state of torch and Python comes back as it was: random generators, modes, environment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from torch import nn

from gradcheck_health.model.sandbox.process_python import PYTHON, PYTHON_ONCE
from gradcheck_health.model.sandbox.process_random import GENERATORS
from gradcheck_health.model.sandbox.process_torch import TORCH, TORCH_ONCE
from gradcheck_health.model.sandbox.reversible import Reversible

_Get = Callable[[], Any]
_Put = Callable[[Any], Any]


def process_guard() -> Reversible:
    """Whatever the block does to process-wide torch and Python state (random generators, modes, environment) is undone.

    The hooks of other tools on every module (a profiler, a logger) stand still meanwhile.
    """
    return Reversible(_remember_and_silence)


def _remember_and_silence(undo: contextlib.ExitStack) -> None:
    undo.callback(_put_back, [], [(get, put, get()) for get, put in (*PYTHON_ONCE, *TORCH_ONCE)])
    remember_process(undo)
    for name, hooks in vars(nn.modules.module).items():
        if name.startswith(("_global_forward", "_global_backward")) and isinstance(hooks, dict):
            hooks.clear()


def remember_process(undo: contextlib.ExitStack) -> None:
    """Lay the way back of every setting onto the stack."""
    undo.callback(_put_back, [(put, get()) for get, put in GENERATORS], [(get, put, get()) for get, put in _SETTINGS])


_SETTINGS = (*PYTHON, *TORCH)


def _put_back(generators: list[tuple[_Put, Any]], settings: list[tuple[_Get, _Put, Any]]) -> None:
    """All of them, in reverse order, whatever one of them raises; then the first error is raised."""
    errors: list[Exception] = []
    for get, put, saved in reversed(settings):
        try:
            if get() != saved:  # to set is slow or refused for some, and nearly always nothing has changed
                put(saved)
        except Exception as error:  # noqa: BLE001 - any setting may be refused by now
            errors.append(error)
    for put, saved in reversed(generators):
        put(saved)
    if errors:
        raise errors[0]
