"""What a check changed and nobody can put back: threads that run, files that are open, iterators that have moved on."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import threading
from collections.abc import Iterator
from types import GeneratorType
from typing import Any

MOVING = (GeneratorType, itertools.count, itertools.cycle, itertools.chain, enumerate, zip, map, filter)
"""Iterators that cannot be told how far to go back."""


def how_far(value: Any) -> Any:
    """Another value where the iterator has moved, as far as it says so."""
    if isinstance(value, GeneratorType):
        frame = value.gi_frame
        return None if frame is None else (frame.f_lasti, [id(held) for held in frame.f_locals.values()])
    return repr(value) if isinstance(value, itertools.count) else None


def name_of(value: Any) -> str:
    """How a message calls an iterator."""
    if isinstance(value, GeneratorType):
        code = value.gi_code
        return f"how far the generator {code.co_name} has come ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"
    return f"how far an iterator has come ({type(value).__name__})"


@contextlib.contextmanager
def noticed(left: list[str]) -> Iterator[None]:
    """Append a line for each kind of thing that the block left running or open."""
    threads, open_before, at_exit = set(threading.enumerate()), _descriptors(), atexit._ncallbacks()
    yield
    fresh = [thread.name for thread in threading.enumerate() if thread not in threads]
    if fresh:
        left.append(f"{len(fresh)} threads that still run ({', '.join(sorted(fresh)[:3])})")
    if fresh := sorted(place for number, place in _descriptors().items() if open_before.get(number) != place):
        left.append(f"{len(fresh)} open files ({', '.join(fresh[:3])})")
    if (count := atexit._ncallbacks() - at_exit) > 0:
        left.append(f"{count} functions that run at exit")


def _descriptors() -> dict[str, str]:
    """Number -> what it leads to, where the system tells."""
    found = {}
    with contextlib.suppress(OSError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found[number] = os.readlink(f"/proc/self/fd/{number}")
    return {number: place for number, place in found.items() if not place.endswith("/fd")}
