"""A context manager that restores everything its block changed, also on KeyboardInterrupt, and never half of it."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_HELD = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name))


class Reversible:
    """A context manager; `prepare` registers on the stack that it is handed how to undo each change, and may raise halfway.

    A signal whose handler raises (Ctrl-C, a test's time limit) waits while something is prepared or put back: half of it would
    leave an empty model.
    """

    def __init__(self, prepare: Callable[[contextlib.ExitStack], None]) -> None:
        self._prepare = prepare
        self._undo = contextlib.ExitStack()
        self._handlers: dict[int, Any] = {}
        self._came: list[int] = []

    def __enter__(self) -> None:
        try:
            self._hold()
            self._prepare(self._undo)
            self._deliver()
        except BaseException:
            self._put_back()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._put_back()
        finally:
            self._deliver()

    def _put_back(self) -> None:
        try:
            self._undo.close()
        finally:
            while self._handlers:
                signal.signal(*self._handlers.popitem())

    def _hold(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # signals go to the main thread
        for number in _HELD:
            if callable(before := signal.getsignal(number)):
                self._handlers[number] = before
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if _changing_hands(frame):
            self._came.append(number)
        else:
            self._handlers[number](number, frame)

    def _deliver(self) -> None:
        while self._came:
            number = self._came.pop()
            handler: Any = self._handlers.get(number, signal.getsignal(number))
            frame: Any = sys._getframe().f_back
            handler(number, frame.f_back)  # behind this block: an enclosing one may hold the signal on


_CHANGING = {Reversible.__enter__.__code__, Reversible.__exit__.__code__}


def _changing_hands(frame: FrameType | None) -> bool:
    """Something is being prepared or put back further out."""
    while frame is not None:
        if frame.f_code in _CHANGING:
            return True
        frame = frame.f_back
    return False
