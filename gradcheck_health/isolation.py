"""Running a target in a process of its own: what crashes, hangs or exits there cannot take the results of others with it."""

from __future__ import annotations

import json
import os
import queue
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gradcheck_health.codec import decode
from gradcheck_health.config_files import Source
from gradcheck_health.formats import Failure
from gradcheck_health.infer import InferredInputs
from gradcheck_health.nursery import Child, nursery
from gradcheck_health.report import Report

MAX_OUTPUT = 64 * 1024
"""Bytes of a person's own output that are passed on, per process."""
MAX_RECORD = 512 * 2**20
Result = TypeVar("Result")


def check(
    target: str, sources: Sequence[Source], timeout: float, output: Callable[[str], None], jobs: int = 1
) -> Iterator[Report | Failure]:
    """Every model of a target, as each is done; a process that dies is followed by another for the models that are left.

    Args:
        target: a file, module or name in one; not a directory.
        timeout: seconds without a result after which the process is killed.
        output: takes what the person's code prints.
        jobs: how many such processes run at once and share the processor.
    """
    return _each("report", Report.from_dict, target, sources, timeout, output, jobs)


def check_all(
    targets: Sequence[str], sources: Sequence[Source], timeout: float, output: Callable[[str], None], jobs: int = 1
) -> Iterator[tuple[int, Report | Failure]]:
    """(index of the target, result), in the order of the targets, while up to `jobs` of them are checked at once."""
    if jobs == 1:
        for i, target in enumerate(targets):
            for result in check(target, sources, timeout, output):
                yield i, result
        return
    told: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in targets]
    stopped = threading.Event()

    def work(i: int) -> None:
        try:
            for result in check(targets[i], sources, timeout, told[i].put, jobs):
                if stopped.is_set():
                    return
                told[i].put((i, result))
        except BaseException as error:  # noqa: BLE001 - to be raised where the results are awaited
            told[i].put(error)
        finally:
            told[i].put(None)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for i in range(len(targets)):
                pool.submit(work, i)
            for line in told:
                while (item := line.get()) is not None:
                    if isinstance(item, BaseException):
                        raise item
                    if isinstance(item, str):
                        output(item)
                    else:
                        yield item
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            nursery(_threads(jobs)).kill_children()


def _threads(jobs: int) -> int | None:
    return None if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)


def measure(
    target: str, sources: Sequence[Source], timeout: float, output: Callable[[str], None]
) -> Iterator[Report | Failure]:
    """What a baseline is written from: reports with the spread over seeds, held against none; arguments as in `check`."""
    return _each("measured", Report.from_dict, target, sources, timeout, output)


def infer(
    target: str, sources: Sequence[Source], timeout: float, output: Callable[[str], None]
) -> Iterator[InferredInputs | Failure]:
    """The inputs that would be made up for every model of a target; arguments as in `check`."""
    return _each("inferred", lambda value: decode(InferredInputs, value, "inferred"), target, sources, timeout, output)


def _each(
    job: str,
    read: Callable[[Any], Result],
    target: str,
    sources: Sequence[Source],
    timeout: float,
    output: Callable[[str], None],
    jobs: int = 1,
) -> Iterator[Result | Failure]:
    done: list[str] = []
    while True:
        worker = _Worker(job, target, sources, done, timeout, output, jobs)
        before = len(done)
        for name, result in worker.run():
            done.append(name)
            yield result if isinstance(result, Failure) else _read_result(read, name, result)
        advanced = any(name in worker.targets for name in done[before:])
        if worker.finished or not advanced or all(name in done for name in worker.targets):
            return


def _read_result(read: Callable[[Any], Result], name: str, value: Any) -> Result | Failure:
    try:
        return read(value)
    except ValueError as error:
        return Failure(name, f"its process sent a result that cannot be read: {error}", 4)


@dataclass
class _Worker:
    """One process and what it told so far."""

    job: str
    target: str
    sources: Sequence[Source]
    done: Sequence[str]
    timeout: float
    output: Callable[[str], None]
    jobs: int = 1
    targets: list[str] = field(default_factory=list)
    finished: bool = False
    current: str | None = None
    passed_on: int = 0

    def run(self) -> Iterator[tuple[str, Any]]:
        """(target, its result as it was sent, or a `Failure`)."""
        child = nursery(_threads(self.jobs)).fork(self._request())
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
        return {"job": self.job, "target": self.target, "done": list(self.done), "sources": sources}

    def _records(self, child: Child) -> Iterator[dict[str, Any] | None]:
        """Records as they come; None where the time ran out. Ends with the process, whoever still holds the pipe."""
        buffer = b""
        deadline = time.monotonic() + self.timeout
        with selectors.DefaultSelector() as selector:
            for source in (child.records, child.output):
                selector.register(source, selectors.EVENT_READ)
            while not self.finished:
                alive = child.poll() is None
                ready = selector.select(0.05 if alive else 0)
                for key, _ in ready:
                    chunk = _read(key.fd)
                    if not chunk:
                        selector.unregister(key.fd)
                    elif key.fd != child.records:
                        self._pass_on(chunk)
                    else:
                        *lines, buffer = (buffer + chunk).split(b"\n")
                        deadline = time.monotonic() + self.timeout if lines else deadline
                        yield from map(_parsed, lines)
                if not alive and not any(key.fd == child.records for key, _ in ready):
                    return
                if time.monotonic() > deadline or len(buffer) > MAX_RECORD:
                    yield None
                    return

    def _pass_on(self, chunk: bytes) -> None:
        room = MAX_OUTPUT - self.passed_on
        self.passed_on += len(chunk)
        if room > 0:
            self.output(chunk[:room].decode(errors="replace"))
            if len(chunk) > room:
                self.output(f"\n[{self.target}: more output than {MAX_OUTPUT // 1024} KiB, the rest is not shown]\n")

    def _result(self, record: dict[str, Any]) -> tuple[str, Any] | None:
        kind = record.get("kind")
        if kind == "targets":
            self.targets = [str(name) for name in record["targets"]]
        elif kind == "start":
            self.current = str(record["target"])
        elif kind == "done":
            self.finished = True
        elif kind == self.job:
            self.current = None
            return record["target"], record["value"]
        elif kind == "failure":
            self.current = None
            return record["target"], Failure(record["target"], record["message"], record["exit_code"])
        return None

    def _death(self, child: Child, timed_out: bool) -> Failure:
        during = "while checking it" if self.current else "after a check" if self.targets else "while importing it"
        target = self.current or self.target
        if timed_out:
            return Failure(
                target, f"no result within {self.timeout:g} s {during}: stopped; allow more with --timeout SECONDS", 4
            )
        code = child.wait()
        if code < 0:
            hint = ": perhaps the memory ran out" if -code == signal.SIGKILL else ""
            return Failure(target, f"its process died of {_signal_name(-code)} {during}{hint}", 4)
        return Failure(target, f"its process left by itself with code {code} {during} (os._exit?): nothing was concluded", 4)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:  # the person's code wrote into a pipe that it could not know
        return {}
    return record if isinstance(record, dict) else {}


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"
