"""A pytest plugin: every test once, with the lines that it runs; then for every fault a fork that runs the tests of its line.

Between the two every test runs in a fork without a fault: one that fails there says nothing about faults, and is left out.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any

import pytest

from benchmarks.mutation.mutants import Mutant
from benchmarks.mutation.planting import functions_of, plant
from tests.support.forks import Tell, forked

WALL = 300
"""Seconds after which a fault counts as noticed: it made a test hang."""


class Session:
    """Hand it to `pytest.main`; afterwards `outcomes` holds "killed", "survived" or "not covered" for every fault."""

    def __init__(self, faults: Sequence[Mutant], cpu: float) -> None:
        self.faults, self.cpu = faults, cpu
        self.outcomes: list[tuple[Mutant, str]] = []
        self.failed: list[str] = []
        """Tests that fail without a fault, here or in a fork."""
        self.stopped = ""
        """What ended the session before its time."""
        self._files = {str(fault.path) for fault in faults}
        self._tests_of: dict[tuple[str, int], set[int]] = defaultdict(set)
        self._took: dict[int, float] = {}
        self._functions: list[FunctionType] = []
        self._current = 0
        self._bad = False
        self._memory = Remembering()

    def remember(self) -> None:
        """Measure once in every test; for faults in what judges measurements."""
        self._memory.install()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests could not be collected")
        for number, item in enumerate(session.items):
            self._learn(number, item)
        self._functions = functions_of(self._files)
        gc.freeze()  # what a fork looks through, it has to copy
        self._rehearse(session.items)
        print(f"{len(session.items)} tests; without a fault these fail: {self.failed}", file=sys.stderr, flush=True)
        for number, fault in enumerate(self.faults):
            outcome = self._try(fault, session.items)
            self.outcomes.append((fault, outcome))
            if outcome != "killed":
                print(f"{outcome}: {fault.path.name}:{fault.line} {fault.what}", file=sys.stderr, flush=True)
            if number % 50 == 49:
                print(f"{number + 1} of {len(self.faults)}", file=sys.stderr, flush=True)
        return True

    def pytest_internalerror(self, excrepr: object) -> None:
        self.stopped = str(excrepr)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.stopped = repr(excinfo.value)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._bad |= report.failed

    def _learn(self, number: int, item: pytest.Item) -> None:
        self._current, self._bad = number, False
        start = time.process_time()
        with self._memory.of(item.nodeid):
            sys.settrace(self._entered)
            try:
                _run(item)
            finally:
                sys.settrace(None)
        self._took[number] = time.process_time() - start
        if self._bad:
            self._leave_out(number, item)

    def _rehearse(self, items: Sequence[pytest.Item]) -> None:
        """Every test in a fork, without a fault: what it takes there, and whether it has anything to say."""
        left = sorted(set().union(*self._tests_of.values()))
        while left:
            lines, _ = forked(partial(self._run_all, [items[number] for number in left]), silence=WALL)
            for number, line in zip(left, lines, strict=False):
                took, outcome = line.split()
                self._took[number] = float(took)
                if outcome == "failed":
                    self._leave_out(number, items[number])
            for number in left[len(lines) : len(lines) + 1]:  # it hung, or took the fork with it
                self._leave_out(number, items[number])
            left = left[len(lines) + 1 :]

    def _run_all(self, items: Sequence[pytest.Item], tell: Tell) -> None:
        _silence()
        for item in items:
            start = time.process_time()
            passed = self._passes(item)
            tell(f"{time.process_time() - start} {'passed' if passed else 'failed'}")

    def _leave_out(self, number: int, item: pytest.Item) -> None:
        self.failed.append(item.nodeid)
        for tests in self._tests_of.values():
            tests.discard(number)

    def _entered(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._tests_of[frame.f_code.co_filename, frame.f_lineno].add(self._current)
        return self._line

    def _try(self, fault: Mutant, items: Sequence[pytest.Item]) -> str:
        path = str(fault.path)
        tests = self._tests_of.get((path, fault.line), set())
        if not tests:  # run at import, or not at all
            tests = {one for (file, _), all_of in self._tests_of.items() if file == path for one in all_of}
        if not tests:
            return "not covered"
        chosen = [items[one] for one in sorted(tests, key=lambda one: self._took[one])]
        _, code = forked(partial(self._judge, fault, chosen), silence=WALL)  # a fork that was stopped hears no alarm
        if code in (
            -signal.SIGSEGV,
            -signal.SIGBUS,
            -signal.SIGABRT,
        ):  # to be looked at: was it the fault, or how it was planted?
            print(f"crashed: {fault.path.name}:{fault.line} {fault.what}", file=sys.stderr, flush=True)
        return "killed" if code else "survived"

    def _judge(self, fault: Mutant, items: Sequence[pytest.Item], _: Tell) -> None:
        """Raises where a test fails; one that hangs is one that fails."""
        _silence()
        signal.alarm(WALL)
        limit = int(self.cpu) + 60
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        plant(fault, self._functions)
        start = time.process_time()
        for item in items:
            if not self._passes(item):
                raise AssertionError(item.nodeid)
            if time.process_time() - start > self.cpu:
                break

    def _passes(self, item: pytest.Item) -> bool:
        self._bad = False
        with self._memory.of(item.nodeid):
            _run(item)
        return not self._bad


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def _run(item: Any) -> None:
    item._initrequest()
    item.ihook.pytest_runtest_protocol(item=item, nextitem=None)


class Remembering:
    """What `probe` and `take` measured in a test, for its next run: a fault in a rule changes no measurement."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], Any] = {}
        self._test = ""
        self._counts: dict[str, int] = {}

    def of(self, test: str) -> Remembering:
        self._test, self._counts = test, {}
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def install(self) -> None:
        """From now on, within this process."""
        from gradcheck_health.check import diagnose

        diagnose.probe, diagnose.take = self._first("probe", diagnose.probe), self._first("take", diagnose.take)  # type: ignore[assignment]

    def _first(self, what: str, real: Any) -> Any:
        def remembered(*args: Any, **named: Any) -> Any:
            kind = args[0] if what == "take" else what
            self._counts[kind] = place = self._counts.get(kind, 0) + 1
            key = (self._test, kind, place)
            if key not in self._known:
                self._known[key] = real(*args, **named)
            return self._known[key]

        return remembered


def files(names: Sequence[str], root: Path) -> list[Path]:
    """Files of the package, and those in its folders."""
    found: list[Path] = []
    for name in names:
        path = root / name
        found += sorted(path.glob("*.py")) if path.is_dir() else [path]
    return [path for path in found if path.name != "__init__.py"]
