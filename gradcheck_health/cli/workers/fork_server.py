"""The fork server: a process that has torch loaded and forks a worker for each request that comes over its socket.

It never computes anything and runs no thread: a child of a process that has used several threads can hang. A request is a line
with its length, then JSON, and four descriptors come with it: where the worker writes its records, where what it prints goes,
where it writes its stack when it crashes or hangs, and where this process tells its number and, at its end, its status.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any

STEPPING = ("sized", "moved")
"""Jobs that come by the dozen and take steps of an optimizer."""


def main(descriptor: int, work: Callable[[Mapping[str, Any], int, int], None]) -> None:
    """Fork workers until the other end of the socket is closed.

    Args:
        work: takes a request and the descriptors for its records and its stack, in the worker; it does not come back.
    """
    asked = socket.socket(fileno=descriptor)
    with contextlib.suppress(BaseException):  # a worker imports it again, and can say what is wrong
        _preload()
    sys.argv[1:] = []
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    workers: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                woken.recv(4096)
                _bury(workers)
            if asked not in ready:
                continue
            received = _receive(asked)
            if received is None:
                break
            request, (records, output, stack, status) = received
            if request["job"] in STEPPING:
                with contextlib.suppress(BaseException):
                    _load_optimizers()
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for inherited in (asked.detach(), woken.detach(), waker.detach(), status, *workers.values()):
                    os.close(inherited)
                _settle(request, output)
                work(request, records, stack)
            for theirs in (records, output, stack):
                os.close(theirs)
            workers[pid] = status
            with contextlib.suppress(OSError):
                os.write(status, b"%d\n" % pid)
    for pid in workers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _preload() -> None:
    import warnings

    # torch says so at every import where numpy is not installed, and nobody asked
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy", category=UserWarning)
    gc.disable()
    try:
        import gradcheck_health.check.prepare  # noqa: F401 - what every worker needs
        from gradcheck_health import probe, rules

        rules.builtin()
        probe.preload()
    finally:
        gc.freeze()  # what was imported stays: every walk of the collector over it takes 50 ms, in every worker
        gc.enable()


def _load_optimizers() -> None:
    """What torch imports at the first optimizer and the first count of operations: two seconds, of each size of a sweep."""
    if "torch._dynamo" not in sys.modules:
        gc.disable()
        try:
            importlib.import_module("torch._dynamo")
        finally:
            gc.freeze()
            gc.enable()


def _receive(asked: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """A request and its descriptors; None where the other side is gone."""
    head, descriptors, *_ = socket.recv_fds(asked, 64, 4)
    if not head or len(descriptors) != 4:
        return None
    length, _, body = head.partition(b"\n")
    while len(body) < int(length):
        chunk = asked.recv(int(length) - len(body))
        if not chunk:
            return None
        body += chunk
    return json.loads(body), descriptors


def _settle(request: Mapping[str, Any], output: int) -> None:
    """The worker's own session, folder and streams."""
    os.setsid()  # what it starts can then be killed with it
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    with contextlib.suppress(OSError):
        os.chdir(request["folder"])


def _bury(workers: dict[int, int]) -> None:
    """Tell the status of every worker that has ended."""
    while workers:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in workers:
            with contextlib.suppress(OSError):
                os.write(workers[pid], b"%d\n" % os.waitstatus_to_exitcode(status))
            os.close(workers.pop(pid))
