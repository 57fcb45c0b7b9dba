"""Pausing Python's garbage collector while objects are made that stay: collections take as long as the work between them."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from contextvars import ContextVar

_SPARING: ContextVar[bool] = ContextVar("sparing", default=False)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No collection inside the block: for code that makes very many objects that stay, and runs no code of the user."""
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
    """Collections inside the block skip all objects made before it: visiting all that torch has imported takes 50 ms."""
    if gc.get_freeze_count():  # the user has frozen objects: unfreezing would undo that
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
    """Skip the objects made since then, too; only where none of them can be garbage."""
    if _SPARING.get():
        gc.freeze()
