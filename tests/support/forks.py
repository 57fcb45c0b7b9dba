"""Work that may hang, crash or change whatever it likes: done in a fork, which tells line by line how far it came."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

import torch

Tell = Callable[[str], None]
SILENCE = 3600
"""Seconds without a line after which a fork is killed: it hangs without computing."""


def forked(work: Callable[[Tell], None], silence: float = SILENCE) -> tuple[list[str], int]:
    """The lines that `work` told from a forked process, and its exit code: 1 if it raised, minus the signal that ended it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            torch.set_num_threads(1)  # the pool of the parent is not there
            work(lambda line: _write(writer, f"{line}\n".encode()))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    told = _all_of(reader, child, silence)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    *lines, _ = told.decode().split("\n")
    return lines, os.waitstatus_to_exitcode(status)


def _write(writer: int, data: bytes) -> None:
    while data:
        data = data[os.write(writer, data) :]


def _all_of(reader: int, child: int, silence: float) -> bytes:
    data = b""
    deadline = time.monotonic() + silence
    while time.monotonic() < deadline:
        if select.select([reader], [], [], 1.0)[0]:
            chunk = os.read(reader, 1 << 16)
            if not chunk:
                return data
            data += chunk
            deadline = time.monotonic() + silence
    os.kill(child, signal.SIGKILL)
    return data
