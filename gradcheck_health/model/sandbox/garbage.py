"""Python's garbage collector, kept away from what is no garbage: its walks take as long as the work between them."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from contextvars import ContextVar

_SPARING: ContextVar[bool] = ContextVar("sparing", default=False)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """For blocks that run no code of a person's and make very many objects that stay."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def old_objects_spared() -> Iterator[None]:
    """Garbage is looked for among what is made inside only: a walk over all that torch has imported takes 50 ms."""
    if gc.get_freeze_count():  # somebody's own doing
        yield
        return
    gc.freeze()
    token = _SPARING.set(True)
    try:
        yield
    finally:
        _SPARING.reset(token)
        gc.unfreeze()


def spare_more() -> None:
    """The same for what was made since; only where none of it can be garbage."""
    if _SPARING.get():
        gc.freeze()
