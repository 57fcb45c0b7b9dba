"""Nothing is left behind: hard models, checked, interrupted and made to fail at any operation, by a fingerprint of its own."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients
from gradcheck_health.model.call import call
from gradcheck_health.model.sandbox import reversible, sandbox
from gradcheck_health.model.sandbox.process import process_guard
from gradcheck_health.probe import Subject, probe
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.objective import objective
from gradcheck_health.records.errors import GradhealthError
from gradcheck_health.records.inputs import Inputs
from tests.model.leftovers.catalogue import BEYOND, HARD, HELD
from tests.model.leftovers.faults import FaultAt, Injected
from tests.model.leftovers.fingerprint import Fingerprint
from tests.model.leftovers.hard import Hard
from tests.model.leftovers.hard_process import SWITCHES
from tests.model.leftovers.planted import HELD as PLANTED
from tests.model.leftovers.planted import OUTSIDE, Rich

pytestmark = pytest.mark.filterwarnings("ignore")
"""Nested tensors, scripts and quantised tensors warn that they are early or late."""

Run = Callable[[nn.Module, torch.Tensor, FaultAt], None]
WITHIN = [entry for entry in HARD if not entry.beyond]


def named(entries: Any) -> list[Any]:
    return [pytest.param(entry, id=entry.name) for entry in entries]


class Watched:
    """A hard model, and how everything was before."""

    def __init__(self, entry: Hard) -> None:
        self.model, self.x = entry.build()
        self._all = (self.model, self.x, *entry.watched)
        self._before = Fingerprint.of(*self._all)

    def traces(self) -> list[str]:
        """Where the model, what it changes beside itself, or the process is not as it was."""
        return self._before.differences(Fingerprint.of(*self._all))


@pytest.fixture(scope="module", autouse=True)
def everything_imported() -> None:
    check_gradients(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 4)), torch.randn(4, 4))
    torch.compile(nn.Linear(2, 2), backend="eager")(torch.zeros(1, 2))


@pytest.mark.parametrize("entry", named(WITHIN))
def test_a_check_leaves_no_trace(entry: Hard) -> None:
    watched = Watched(entry)
    check_gradients(watched.model, watched.x)
    assert watched.traces() == []


def bare(model: nn.Module, x: torch.Tensor, mode: FaultAt) -> None:
    """Forward and backward, no more, inside the sandbox."""
    with process_guard(), sandbox(model), mode:
        output = call(model, Inputs((x,), batch=len(x)), 0)
        backward(objective(output, loss=None, batch=len(x), seed=0), model)


def observed(model: nn.Module, x: torch.Tensor, mode: FaultAt) -> None:
    """The same with every hook of the probe in place."""
    with process_guard(), sandbox(model), mode:
        probe(Subject(model, Inputs((x,), batch=len(x))))


def fails_at(positions: Iterable[int], watched: Watched, run: Run, *errors: type[BaseException]) -> None:
    for at in positions:
        for error in errors:
            with contextlib.suppress(GradhealthError, RuntimeError, Injected, KeyboardInterrupt):  # scripts wrap it into theirs
                run(watched.model, watched.x, FaultAt(at, error))
            assert watched.traces() == [], f"{error.__name__} at operation {at}"


def operations(watched: Watched, run: Run) -> int:
    mode = FaultAt()
    run(watched.model, watched.x, mode)
    assert watched.traces() == []
    return mode.count


@pytest.mark.slow
@pytest.mark.parametrize("entry", named(entry for entry in HELD if not entry.beyond))
def test_error_at_each_operation_leaves_no_trace(entry: Hard) -> None:
    watched = Watched(entry)
    count = operations(watched, bare)
    assert count > 8
    fails_at(range(0, count, 9 if "deep" in entry.name else 1), watched, bare, Injected, KeyboardInterrupt)


@pytest.mark.slow
@pytest.mark.parametrize("entry", named(WITHIN))
def test_error_under_observation_leaves_no_trace(entry: Hard) -> None:
    """At operations all over the probe; the command `python -m benchmarks.leftovers.hard` does it at every one."""
    watched = Watched(entry)
    count = operations(watched, observed)
    fails_at(range(len(entry.name) % 7, count, 2 + count // 4), watched, observed, Injected, KeyboardInterrupt)


@pytest.mark.parametrize("entry", named(BEYOND))
def test_what_is_listed_as_beyond_reach_is(entry: Hard) -> None:
    """So that the list in the docs stays true, and short."""
    watched = Watched(entry)
    bare(watched.model, watched.x, FaultAt())
    assert watched.traces() != []
    assert len(BEYOND) <= len(HARD) * 2 // 40


@pytest.mark.parametrize("name", PLANTED)
def test_a_trace_in_the_model_is_seen(name: str) -> None:
    model = Rich()
    before = Fingerprint.of(model)
    assert before.differences(Fingerprint.of(model)) == []
    leave, place = PLANTED[name]
    try:
        leave(model)
        found = before.differences(Fingerprint.of(model))
    finally:
        Rich.shared = ["class"]
        Rich.__dict__.get("later") and delattr(Rich, "later")
    assert any(place in path for path in found), found
    assert not any(path.startswith("process.") for path in found if "random" not in path), found


@pytest.mark.parametrize("name", SWITCHES)
def test_a_changed_setting_is_seen(name: str) -> None:
    before = Fingerprint.of()
    with process_guard():
        inside = Fingerprint.of()  # the guard itself changes how signals are handled
        SWITCHES[name]()
        found = inside.differences(Fingerprint.of())
    assert found != []
    assert before.differences(Fingerprint.of()) == []


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_left_elsewhere_is_seen(name: str) -> None:
    before, undo = Fingerprint.of(), list[Callable[[], Any]]()
    leave, place = OUTSIDE[name]
    leave(undo)
    try:
        found = before.differences(Fingerprint.of())
    finally:
        for back in undo:
            back()
    assert any(place in path for path in found)


class Alarm:
    """Ctrl-C, for real, when line number `at` of the sandbox's own files is about to run."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __enter__(self) -> Alarm:
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(FOLDER) else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.count += 1
            if self.count - 1 == self.at:
                signal.raise_signal(signal.SIGINT)
        return self._line


FOLDER = reversible.__file__.rpartition("reversible")[0]


class Changing(nn.Module):
    """A little of what can be changed, so that the sandbox has something to do and not too much."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.calls = nn.Linear(2, 2), [0]
        self.fc.weight.grad = torch.ones(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.append(1)
        self.fc.weight.data = torch.ones(2, 2)
        torch.set_default_dtype(torch.float64)
        out: torch.Tensor = self.fc(x)
        return out


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Also where the shell had them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interrupts")
def test_interrupt_at_any_line_of_the_sandbox_leaves_no_trace() -> None:
    model, x = Changing(), torch.zeros(1, 2)
    before = Fingerprint.of(model)

    def run(at: int) -> tuple[bool, int]:
        with Alarm(at) as alarm:
            try:
                with process_guard(), sandbox(model), sandbox(model):
                    model(x).sum().backward()
            except KeyboardInterrupt:
                return True, alarm.count
        return False, alarm.count

    run(-1)  # what is found out once about a class or a function takes lines, too
    came, count = run(-1)
    assert not came and count > 1000
    for at in [*range(0, count, 41), *range(40), *range(count - 40, count)]:
        came, _ = run(at)
        assert came, f"the interrupt at line {at} of {count} was lost"
        assert before.differences(Fingerprint.of(model)) == [], f"line {at} of {count}"
