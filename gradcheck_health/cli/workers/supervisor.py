"""One worker, watched from outside: what it reports, what it prints, how long it is silent, and how it ended."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradcheck_health.cli.workers import stack_dump
from gradcheck_health.cli.workers.fork_client import Child, ForkServer
from gradcheck_health.cli.workers.worker import signature
from gradcheck_health.records.errors import ExitCode
from gradcheck_health.records.report import Failure, NothingToCheck
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.importing import GUARD

MAX_OUTPUT = 64 * 1024
"""Bytes of the user's own output that are passed on, per process."""
MAX_RECORD = 512 * 2**20
MAX_STACK = 1 << 20
EXIT_CODES = (ExitCode.USAGE, ExitCode.FAILED, ExitCode.STOPPED)
"""Those of a failure: whatever the user's code raises, it does not choose another."""
PAUSE = 5.0
"""Seconds between two turns of a loop that takes a twentieth of one."""
PATIENCE = 120.0
"""Seconds for torch to be imported before the first worker is there: a busy machine is not a model that hangs."""


@dataclass
class Supervisor:
    """One process and what it has reported so far."""

    job: str
    """The kind of record that holds a result."""
    target: str
    sources: Sequence[Source]
    done: Sequence[str]
    """Models that need no result any more."""
    timeout: float
    output: Callable[[str], None]
    targets: list[str] = field(default_factory=list)
    """Every model that it found."""
    finished: bool = False
    """It said that it was done."""
    current: str | None = None
    passed_on: int = 0
    stack: bytes = b""
    main_thread: int = 0
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """With which the process signs its records."""
    received: int = 0
    """Records that were signed so."""

    def run(self, server: ForkServer) -> Iterator[tuple[str, Any]]:
        """(target, its result as it was sent, or a `Failure` or `NothingToCheck`)."""
        child = server.fork(self._request())
        try:
            timed_out = False
            for record in self._records(child):
                if record is None:
                    timed_out = True
                elif (result := self._result(record)) is not None:
                    yield result
            if not self.finished:
                death = self._death(child, timed_out)
                yield death.target, death
        finally:
            child.kill()
            while chunk := _read(child.output):
                self._pass_on(chunk)
            child.close()

    def _request(self) -> dict[str, Any]:
        sources = [
            {"origin": s.origin, "table": dict(s.table), "lines": [[list(p), n] for p, n in s.lines.items()]}
            for s in self.sources
        ]
        own = {"target": self.target, "done": list(self.done), "sources": sources, "timeout": self.timeout}
        return {"job": self.job, "key": self.key.hex(), **own}

    def _records(self, child: Child) -> Iterator[dict[str, Any] | None]:
        """Records as they come; None where the time ran out. Ends with the process, whoever still holds the pipe."""
        buffer = b""
        deadline = time.monotonic() + self.timeout + PATIENCE
        with selectors.DefaultSelector() as selector:
            for source in (child.records, child.output, child.stack):
                selector.register(source, selectors.EVENT_READ)
            last = time.monotonic()
            while not self.finished:
                now = time.monotonic()
                if now - last > PAUSE:  # this process was stopped, and its worker perhaps with it
                    deadline += now - last
                last = now
                alive = child.poll() is None
                ready = {key.fd for key, _ in selector.select(0.05 if alive else 0)}
                for source in ready:
                    chunk = _read(source)
                    if not chunk:
                        selector.unregister(source)
                    elif source == child.output:
                        self._pass_on(chunk)
                    elif source == child.stack:
                        self.stack = (self.stack + chunk)[-MAX_STACK:]
                    else:
                        *lines, buffer = (buffer + chunk).split(b"\n")
                        records = list(filter(None, map(self._parsed, lines)))
                        deadline = time.monotonic() + self.timeout if records else deadline
                        yield from records
                if not alive and child.records not in ready:
                    return
                if time.monotonic() > deadline or len(buffer) > MAX_RECORD:
                    yield None
                    return

    def _parsed(self, line: bytes) -> dict[str, Any] | None:
        """A record; None for what the user's code wrote into a pipe that it was never given."""
        signed, _, record = line.partition(b" ")
        if not hmac.compare_digest(signed, signature(self.key, self.received, record)):
            return None
        self.received += 1
        parsed: dict[str, Any] = json.loads(record)
        return parsed

    def _pass_on(self, chunk: bytes) -> None:
        room = MAX_OUTPUT - self.passed_on
        self.passed_on += len(chunk)
        if room > 0:
            self.output(chunk[:room].decode(errors="replace"))
            if len(chunk) > room:
                self.output(f"\n[{self.target}: more output than {MAX_OUTPUT // 1024} KiB, the rest is not shown]\n")

    def _result(self, record: dict[str, Any]) -> tuple[str, Any] | None:
        kind, target = record["kind"], record.get("target")
        if kind == "begin" and isinstance(thread := record.get("thread"), int):
            self.main_thread = thread
        elif kind == "targets" and isinstance(names := record.get("targets"), list):
            self.targets = list(map(str, names))
        elif kind == "done":
            self.finished = True
        elif target != self.target and target not in self.targets:
            return None
        elif kind == "start":
            self.current, self.stack = str(target), b""
        elif kind == self.job and "value" in record:
            self.current = None
            return str(target), record["value"]
        elif kind == "nothing":
            self.current = None
            return str(target), NothingToCheck(str(target), str(record.get("message")))
        elif kind == "failure" and (code := record.get("exit_code")) in EXIT_CODES:
            self.current = None
            return str(target), Failure(str(target), str(record.get("message")), code)
        return None

    def _death(self, child: Child, timed_out: bool) -> Failure:
        code = None if timed_out else child.wait()
        written = (self.stack + _read(child.stack)).decode(errors="replace")
        cut_off = code == -signal.SIGSEGV and stack_dump.SILENT in written
        if cut_off:
            code = None  # faulthandler walks the frames while they change, which may end a process that was stuck anyway
        standing = stack_dump.read(written, self.main_thread)
        during = "while checking it" if self.current else "after a check" if self.targets else stack_dump.IMPORTING
        if standing is not None and standing.phase is not None and not cut_off:
            # no check goes backward before the models of the file are known: frames that changed meanwhile are missing
            own = during == stack_dump.IMPORTING and standing.phase == stack_dump.BACKWARD
            during = during if own else standing.phase
        where = "".join(f"\n{line}" for line in standing.lines) if standing is not None else ""
        target = self.current or self.target
        if code is None:
            why = f"no result within {self.timeout:g} s, {during}: allow more with --timeout SECONDS"
            why += f", or {GUARD}" if during == stack_dump.IMPORTING else ""
        elif code < 0:
            hint = ": perhaps the memory ran out (--memory 4G sets a limit)" if -code == signal.SIGKILL else ""
            why = f"its process died of {_signal_name(-code)} {during}{hint}"
        else:
            why = f"its process exited with code {code} {during} (os._exit?): there is no verdict"
        return Failure(target, f"{why}{where}", ExitCode.STOPPED)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"
