"""Run one task on one model in a forked process, with limits of CPU time and memory."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.support.forks import Tell, forked

MEMORY = 7 << 30
"""Bytes of address space of one process."""


def in_child(task: Callable[[], dict[str, Any]], cpu: int) -> dict[str, Any]:
    """What `task` returns, or the outcome "killed" where it went over `cpu` seconds or ended the process."""
    lines, code = forked(partial(_limited, task, cpu))
    return json.loads(lines[-1]) if lines else {"outcome": "killed", "error": f"exit code {code}"}


def _limited(task: Callable[[], dict[str, Any]], cpu: int, tell: Tell) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    tell(json.dumps(task(), default=str))


def line(error: BaseException) -> str:
    """An exception on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
