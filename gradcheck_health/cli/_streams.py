"""The process of the command: streams that are there, and an end that is asked for politely."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from gradcheck_health.records.errors import UsageError


class OutputError(UsageError):
    """Standard output cannot be written: what was found is told nowhere."""


class ReaderGoneError(Exception):
    """Standard output is a pipe whose reader, `| head`, has seen enough."""


def open_streams() -> None:
    """Where a standard stream was closed (`>&-`), the null device: what is opened later must not take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def give_up_output() -> None:
    """What is still in a buffer would fail again when Python ends, and that would be the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM is Ctrl-C: what was checked is kept and told, and workers end."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
