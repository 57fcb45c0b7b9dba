"""A check in a forked copy of this process: nothing that the model's code does there reaches this process."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from gradcheck_health.records import errors
from gradcheck_health.records.errors import GradhealthError, ModelError, UsageError, describe_error, did_you_mean
from gradcheck_health.records.report import Report

KINDS = ("fork",)


def check_apart(isolation: str, check: Callable[[], Report]) -> Report:
    """What `check` returns or raises, from a process of its own.

    Raises:
        UsageError: no such isolation, a system that cannot fork, or CUDA is in use, which does not survive a fork.
        ModelError: the process died.
    """
    if isolation not in KINDS:
        raise UsageError(f"isolation {isolation!r}: allowed: 'fork', or None{did_you_mean(isolation, KINDS)}")
    if not hasattr(os, "fork"):
        raise UsageError(f"isolation='fork': {sys.platform} cannot fork: leave it out, or check with the command gradhealth")
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        raise UsageError("isolation='fork': CUDA is in use, which does not survive a fork: check before the first use of it")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # what waits in them would be written twice
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads in the parent
        child = os.fork()
    if child == 0:
        os.close(reader)
        _work(writer, check)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            told_by_it = pipe.read()
        _, status = os.waitpid(child, 0)
    except BaseException:  # Ctrl-C
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return _read(told_by_it, os.waitstatus_to_exitcode(status))


def _work(writer: int, check: Callable[[], Report]) -> NoReturn:
    """In the child, which never comes back to the caller's code."""
    try:
        answer = _answer(check)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(answer)
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
        return Report.from_dict(json.loads(content))
    if kind == b"G":
        name, text, where, remedy = json.loads(content)
        raise getattr(errors, name)(text, where, remedy and errors.Remedy(*remedy))
    if kind == b"P":
        raise pickle.loads(content)
    if kind == b"T":
        raise ModelError(f"in the forked process: {content.decode()}")
    how = f"of {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
    raise ModelError(f"the forked process ended {how} before a verdict: the model's code ended it, or the memory ran out")
