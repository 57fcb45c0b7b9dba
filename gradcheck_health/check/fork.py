"""A check in a forked copy of this process: nothing that the model's code does there reaches this process."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import select
import signal
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import NoReturn

from gradcheck_health.records import errors
from gradcheck_health.records.errors import GradhealthError, ModelError, UsageError, describe_error, did_you_mean
from gradcheck_health.records.report import Report

KINDS = ("fork",)
_LENGTH = struct.Struct("!Q")
"""In front of an answer."""


def check_apart(isolation: str, check: Callable[[], Report], limit: float = 300.0) -> Report:
    """What `check` returns or raises, from a process of its own.

    Args:
        limit: seconds without an answer after which the process is killed.

    Raises:
        UsageError: no such isolation, a system that cannot fork, CUDA is in use, or a process group: none survives a fork.
        ModelError: the process died, or gave no answer in time.
    """
    if isolation not in KINDS:
        raise UsageError(f"isolation {isolation!r}: allowed: 'fork', or None{did_you_mean(isolation, KINDS)}")
    if not hasattr(os, "fork"):
        raise UsageError(f"isolation='fork': {sys.platform} cannot fork: leave it out, or check with the command gradhealth")
    if (torch := sys.modules.get("torch")) is not None:
        from gradcheck_health.model.distributed.ranks import initialized

        if torch.cuda.is_initialized():
            raise UsageError(
                "isolation='fork': CUDA is in use, which does not survive a fork: check before the first use of it"
            )
        if initialized():
            raise UsageError("isolation='fork': a forked copy is no member of the process group of the ranks: leave it out")
    _flush()  # what waits in them would be written twice
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads in the parent
        child = os.fork()
    if child == 0:
        os.close(reader)
        _work(writer, check)
    os.close(writer)
    try:
        answer = _receive(reader, limit)
        code = _wait(child)
    except BaseException:  # Ctrl-C, or the limit
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _wait(child)
        raise
    finally:
        os.close(reader)
    return _read(answer, code)


def _receive(reader: int, limit: float) -> bytes:
    """The answer, which says how long it is: the end of the pipe comes when the last grandchild has died."""
    end = time.monotonic() + limit
    received = b""
    while len(received) < _LENGTH.size or len(received) < _LENGTH.size + _LENGTH.unpack_from(received)[0]:
        if not select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
            others = threading.active_count() - 1
            hint = f"; {others} other threads live, and what they held at the fork stays locked in the copy" if others else ""
            raise ModelError(f"the forked process gave no answer within {limit:g} s: give more with timeout{hint}")
        chunk = os.read(reader, 2**20)
        if not chunk:
            break
        received += chunk
    return received[_LENGTH.size :]


def _wait(child: int) -> int:
    """Its exit code; 0 where the system tells nobody, because SIGCHLD is ignored."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except ChildProcessError:
        return 0


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # there may be none, or a closed one
            stream.flush()


def _work(writer: int, check: Callable[[], Report]) -> NoReturn:
    """In the child, which never comes back to the caller's code."""
    try:
        answer = _answer(check)
        _flush()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(_LENGTH.pack(len(answer)) + answer)
    finally:
        os._exit(0)


def _answer(check: Callable[[], Report]) -> bytes:
    try:
        import torch

        torch.set_num_threads(1)  # first of all: a pool of threads that the parent had does not exist here
        return b"R" + json.dumps(check().to_dict(), allow_nan=False).encode()
    except GradhealthError as error:
        remedy = error.remedy and [error.remedy.what, dict(error.remedy.specs), error.remedy.after]
        return b"G" + json.dumps([type(error).__name__, error.text, error.where, remedy]).encode()
    except BaseException as error:  # noqa: BLE001 - of user code; it is raised in the parent
        try:
            sent = pickle.dumps(error)
            pickle.loads(sent)
        except Exception:  # noqa: BLE001 - not every exception can be rebuilt
            return b"T" + describe_error(error).encode(errors="replace")
        return b"P" + sent


def _read(answer: bytes, code: int) -> Report:
    kind, content = answer[:1], answer[1:]
    if kind == b"R":
        return dataclasses.replace(Report.from_dict(json.loads(content)), unrestored=())  # it ended with the process
    if kind == b"G":
        name, text, where, remedy = json.loads(content)
        raise getattr(errors, name)(text, where, remedy and errors.Remedy(*remedy))
    if kind == b"P":
        raise pickle.loads(content)
    if kind == b"T":
        raise ModelError(f"in the forked process: {content.decode()}")
    how = f"of {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
    raise ModelError(f"the forked process ended {how} before a verdict: the model's code ended it, or the memory ran out")
