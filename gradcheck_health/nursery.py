"""A process that has torch loaded and forks a worker for each request, so that many targets cost one import of it.

The nursery never computes anything and runs no thread: a child of a process that has used several threads can hang. It
listens on a socket; a request is a line with its length, then JSON, and three descriptors come with it: where the worker writes
its records, where what it prints goes, and where the nursery tells its process number and, at its end, its status.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_LOST = -signal.SIGKILL
"""The status of a worker whose nursery is gone."""


class Child:
    """A worker, seen from the process that asked for it."""

    def __init__(self, records: int, output: int, status: int) -> None:
        self.records, self.output = records, output
        """Descriptors to read from, not blocking."""
        self._status, self._told = status, b""
        self._ended: int | None = None
        self.pid: int | None = None

    def poll(self) -> int | None:
        """The exit code, or the negative number of the signal that it died of; None while it lives."""
        while self._ended is None:
            try:
                chunk = os.read(self._status, 64)
            except BlockingIOError:
                break
            self._told += chunk
            pid, _, code = self._told.decode().partition("\n")
            self.pid = int(pid) if pid else None
            if code.endswith("\n"):
                self._ended = int(code)
            elif not chunk:
                self._ended = _LOST
        return self._ended

    def wait(self, seconds: float = 10.0) -> int:
        """The same, when it is there."""
        end = time.monotonic() + seconds
        while (code := self.poll()) is None and time.monotonic() < end:
            time.sleep(0.005)
        return _LOST if code is None else code

    def kill(self) -> None:
        """The worker and all that it started; it may ignore every signal but this one."""
        while self.pid is None and self.poll() is None:  # it is about to be forked
            time.sleep(0.005)
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        for descriptor in (self.records, self.output, self._status):
            os.close(descriptor)


class Nursery:
    """The process, seen from the one that started it; it ends with that one."""

    def __init__(self, threads: int | None = None) -> None:
        self._socket, theirs = socket.socketpair()
        self._children: weakref.WeakSet[Child] = weakref.WeakSet()
        environment = dict(os.environ)
        if threads is not None:
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [*_boot(), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=environment,
            start_new_session=True,  # Ctrl-C is for us to handle
        )
        theirs.close()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, request: Mapping[str, Any]) -> Child:
        """A worker for this request."""
        ends = [os.pipe() for _ in range(3)]
        text = json.dumps({**request, "folder": os.getcwd()}, default=str).encode()
        try:
            with self._lock, contextlib.suppress(OSError):  # a nursery that died is told as a worker that did
                socket.send_fds(self._socket, [b"%d\n" % len(text)], [write for _, write in ends])
                self._socket.sendall(text)
        finally:
            for _, write in ends:
                os.close(write)
        for read, _ in ends:
            os.set_blocking(read, False)
        child = Child(*(read for read, _ in ends))
        self._children.add(child)
        return child

    def kill_children(self) -> None:
        """Every worker that still runs."""
        for child in list(self._children):
            if child.poll() is None:
                child.kill()

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_HELD: list[tuple[object, Nursery]] = []
_HOLDING = threading.Lock()


def nursery(threads: int | None = None) -> Nursery:
    """The one of this process; another one where the environment has changed or the last one died.

    Args:
        threads: how many each worker may compute with, unless the environment says it.
    """
    with _HOLDING:
        # pytest notes there which test it is at
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        condition = (environment, threads)
        if _HELD and (_HELD[0][0] != condition or not _HELD[0][1].alive):
            _HELD.pop()[1].close()
        if not _HELD:
            _HELD.append((condition, Nursery(threads)))
        return _HELD[0][1]


@cache
def _boot() -> list[str]:
    """The command of the process.

    Not `python -m`: that puts the working directory first on the path, and a file `json.py` there would be imported instead
    of Python's own.
    """
    root = str(Path(__file__).resolve().parent.parent)
    code = (
        # this very package, also where another version is installed; for what is imported afterwards its folder comes last
        f"import sys; sys.path[:] = [{root!r}, *filter(None, sys.path)]; from gradcheck_health.nursery import main; "
        "from gradcheck_health.worker import main as work; sys.path.append(sys.path.pop(0)); main(int(sys.argv[1]), work)"
    )
    return [sys.executable, "-c", code]


def main(descriptor: int, work: Callable[[Mapping[str, Any], int], None]) -> None:
    """Fork workers until the other end of the socket is closed.

    Args:
        work: takes a request and the descriptor for its records, in the worker; it does not come back.
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
            request, (records, output, status) = received
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for inherited in (asked.detach(), woken.detach(), waker.detach(), status, *workers.values()):
                    os.close(inherited)
                _settle(request, output)
                work(request, records)
            os.close(records)
            os.close(output)
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
    import gradcheck_health.examine  # noqa: F401 - what every worker needs
    from gradcheck_health import probe, rules

    rules.builtin()
    probe.preload()


def _receive(asked: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """A request and its descriptors; None where the other side is gone."""
    head, descriptors, *_ = socket.recv_fds(asked, 64, 3)
    if not head or len(descriptors) != 3:
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
