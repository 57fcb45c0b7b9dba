"""The model and the process come back as they were, also when forward raises or Ctrl-C comes.

Everything is restored in place: identities, data pointers and bytes. Opaque Python objects, class attributes and global
counters of the user's code are out of reach here; the command line covers them by checking in a worker process.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from torch import nn

from gradcheck_health.probe.process import process_guard
from gradcheck_health.probe.remembered import Memory


@contextlib.contextmanager
def sandbox(model: nn.Module) -> Iterator[None]:
    """Whatever the block does to `model` and to process-wide torch and Python state is undone.

    Inside the block every `.grad` starts as None. Extra memory: one copy of the tensors that the modules hold.
    """
    undo = contextlib.ExitStack()
    try:
        undo.enter_context(process_guard())
        memory = Memory()
        undo.callback(memory.restore)
        memory.remember([*model.modules(), model])  # scripted modules keep their children outside of vars()
        for saved in memory.tensors:  # not before the way back is laid for all of them
            saved.detach_gradient()
        yield
    finally:
        with _interrupts_held():
            undo.close()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the block is done: half a restore would leave an empty model."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, Any]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def reachable_modules(model: nn.Module) -> list[nn.Module]:
    """Registered modules, and those that hide in attributes, lists and dicts of modules (people do forget `ModuleList`)."""
    seen: dict[int, nn.Module] = {}
    stack: list[Any] = [*reversed(list(model.modules())), model]  # scripted modules keep theirs outside of vars()
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
