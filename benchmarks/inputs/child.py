"""Run one task on one model in a forked process, with limits of CPU time and memory."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any

import torch

MEMORY = 7 << 30
"""Bytes of address space of one process."""
SILENCE = 3600
"""Seconds on the wall after which a process is killed that does not end: it hangs without computing."""


def in_child(task: Callable[[], dict[str, Any]], cpu: int) -> dict[str, Any]:
    """What `task` returns, or the outcome "killed" where it went over `cpu` seconds or ended the process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        torch.set_num_threads(1)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.write(writer, json.dumps(task(), default=str).encode())
        os._exit(0)
    os.close(writer)
    data = _all_of(reader, child)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return json.loads(data) if data else {"outcome": "killed", "error": f"status {status}"}


def _all_of(reader: int, child: int) -> bytes:
    data = b""
    deadline = time.monotonic() + SILENCE
    while time.monotonic() < deadline:
        if select.select([reader], [], [], 1.0)[0]:
            chunk = os.read(reader, 1 << 16)
            if not chunk:
                return data
            data += chunk
    os.kill(child, signal.SIGKILL)
    return data


def line(error: BaseException) -> str:
    """An exception on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
