"""Process-wide state of torch and Python comes back as it was: random generators, modes, environment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from gradcheck_health.probe.process_python import PYTHON
from gradcheck_health.probe.process_random import GENERATORS
from gradcheck_health.probe.process_torch import TORCH
from gradcheck_health.probe.reversible import Reversible


def process_guard() -> Reversible:
    """Whatever the block does to process-wide torch and Python state (random generators, modes, environment) is undone."""
    return Reversible(remember_process)


def remember_process(undo: contextlib.ExitStack) -> None:
    """Lay the way back of every setting onto the stack."""
    for get, put in GENERATORS:
        undo.callback(put, get())
    for get, put in (*PYTHON, *TORCH):
        undo.callback(partial(_back, get, put, get()))


def _back(get: Callable[[], Any], put: Callable[[Any], None], saved: Any) -> None:
    """Setting is slow or refused for some, and nearly always nothing has changed."""
    if get() != saved:
        put(saved)
