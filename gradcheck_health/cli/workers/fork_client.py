"""The fork server and its workers, seen from the command: many targets cost one import of torch.

multiprocessing's start method "forkserver" is the known way to do this. It imports `__main__` again, and shares its pipe with
the user's code; here records, output and stacks have pipes of their own.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_LOST = -signal.SIGKILL
"""The status of a worker whose fork server is gone."""


class Child:
    """A worker, seen from the process that asked for it."""

    def __init__(self, records: int, output: int, stack: int, status: int) -> None:
        self.records, self.output, self.stack = records, output, stack
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
        for descriptor in (self.records, self.output, self.stack, self._status):
            os.close(descriptor)


class ForkServer:
    """The process, seen from the one that started it; it ends with that one."""

    def __init__(self, threads: int | None = None) -> None:
        self._owner = os.getpid()
        self._socket, theirs = socket.socketpair()
        self._children: weakref.WeakSet[Child] = weakref.WeakSet()
        environment = dict(os.environ)
        # threads that spin while they wait for one another take ten times as long on cores that others use, too
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
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
        ends = [os.pipe() for _ in range(4)]
        text = json.dumps({**request, "folder": os.getcwd()}, default=str).encode()
        try:
            with self._lock, contextlib.suppress(OSError):  # a fork server that died is reported as a worker that did
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
        """End it, with every worker that still runs; it may be in the middle of its own imports."""
        self._socket.close()
        if os.getpid() != self._owner:  # a copy of the process that holds it
            return
        self.kill_children()
        self._process.kill()
        self._process.wait()


_HELD: list[tuple[object, ForkServer]] = []
_HOLDING = threading.Lock()


def fork_server(threads: int | None = None) -> ForkServer:
    """The one of this process; another one where the environment has changed or the last one died.

    Args:
        threads: how many each worker may compute with, unless the environment says it.
    """
    with _HOLDING:
        # pytest notes there which test it is at
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        condition = (environment, threads)
        if _HELD and (_HELD[0][0] != condition or not _HELD[0][1].alive):
            _, server = _HELD.pop()
            atexit.unregister(server.close)
            server.close()
        if not _HELD:
            server = ForkServer(threads)
            atexit.register(server.close)
            _HELD.append((condition, server))
        return _HELD[0][1]


@cache
def _boot() -> list[str]:
    """The command of the process.

    Not `python -m`: that puts the working directory first on the path, and a file `json.py` there would be imported instead
    of Python's own.
    """
    root = str(Path(__file__).resolve().parents[3])
    code = (
        # this very package, also where another version is installed; for what is imported afterwards its folder comes last
        f"import sys; sys.path[:] = [{root!r}, *filter(None, sys.path)]; "
        "from gradcheck_health.cli.workers.fork_server import main; "
        "from gradcheck_health.cli.workers.worker import main as work; "
        "sys.path.append(sys.path.pop(0)); main(int(sys.argv[1]), work)"
    )
    return [sys.executable, "-c", code]
