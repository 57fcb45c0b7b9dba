"""The model and the process come back as they were, also when forward raises or Ctrl-C comes.

Everything is restored in place: identities, data pointers and bytes. How far a generator has come and the inside of compiled
objects are out of reach here; the command line, and `isolation="fork"`, check in another process.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

from torch import nn

from gradcheck_health.model.distributed.shards import settle
from gradcheck_health.model.sandbox.process import remember_process
from gradcheck_health.model.sandbox.reversible import Reversible
from gradcheck_health.model.sandbox.snapshot import Snapshot
from gradcheck_health.model.tree import modules

_AROUND: ContextVar[Snapshot | None] = ContextVar("around", default=None)
"""What the innermost sandbox that is open remembers."""
_DEEP = 2000
"""Frames of the stack, at least: observed, a call of a module takes four where it took three, and the default is a thousand."""


def sandbox(model: nn.Module, *, process: bool = True, also: Sequence[Any] = (), left: list[str] | None = None) -> Reversible:
    """Whatever the block does to `model`, to `also` and to process-wide torch and Python state is undone.

    Inside the block every `.grad` starts as None. Extra memory: one copy of the tensors that the modules hold; a sandbox inside
    another one shares the copies of what has not changed since.

    Args:
        process: False where a `process_guard` around the block sees to the second.
        also: optimizers, schedulers, scalers, functions and whatever they have closed over.
        left: a list to which the names of what moved on and cannot be put back are appended at the end.
    """
    return Reversible(partial(_remember, model, process, also, left))


def _remember(model: nn.Module, process: bool, also: Sequence[Any], left: list[str] | None, undo: contextlib.ExitStack) -> None:
    if process:
        remember_process(undo)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _DEEP))
    memory = Snapshot(around=_AROUND.get())
    undo.callback(_AROUND.reset, _AROUND.set(memory))
    if left is not None:
        undo.callback(lambda: left.extend(memory.moved()))
    undo.callback(settle, model)
    undo.callback(memory.restore)
    # the table of an object is followed however far it leads, an object itself only as long as there is room
    held = [part for one in also for part in (one, getattr(one, "__dict__", None))]
    memory.remember([*held, *modules(model), model])  # scripted modules keep their children outside of vars()
    memory.detach_gradients()  # not before the way back is laid for all of them


def reachable_modules(model: nn.Module) -> list[nn.Module]:
    """Registered modules, and those that hide in attributes, lists and dicts of modules (people do forget `ModuleList`)."""
    seen: dict[int, nn.Module] = {}
    stack: list[Any] = [*reversed(modules(model)), model]  # scripted modules keep theirs outside of vars()
    containers: set[int] = set()
    while stack:
        item = stack.pop()
        if isinstance(item, nn.Module):
            if id(item) not in seen:
                seen[id(item)] = item
                stack.extend(reversed(list(vars(item).values())))
        elif isinstance(item, dict | list | tuple | set | frozenset | deque) and id(item) not in containers:
            containers.add(id(item))
            stack.extend(item.values() if isinstance(item, dict) else item)
    return list(seen.values())
