"""A check in a forked copy of the process: the same verdict, nothing left here, and every end of it told."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import UnhealthyGradientsError, assert_gradients_healthy, check_gradients
from gradcheck_health.records.errors import InputInferenceError, ModelError, UsageError
from gradcheck_health.settings.config import Config
from tests.model.leftovers.catalogue import BEYOND
from tests.model.leftovers.fingerprint import Fingerprint
from tests.model.leftovers.hard import Hard

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


class Does(nn.Module):
    """Calls `act` in forward."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(4, 4), act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.act()
        out: torch.Tensor = self.fc(x)
        return out


@pytest.mark.parametrize("entry", BEYOND, ids=lambda entry: entry.name)
def test_what_is_beyond_reach_is_not_beyond_a_fork(entry: Hard) -> None:
    model, x = entry.build()
    before = Fingerprint.of(model, x, *entry.watched)
    report = check_gradients(model, x, isolation="fork")
    assert report.trace.parameters
    assert before.differences(Fingerprint.of(model, x, *entry.watched)) == []


@pytest.mark.slow
def test_the_same_report() -> None:
    torch.manual_seed(0)
    sick = nn.Sequential(*[layer for _ in range(12) for layer in (nn.Linear(8, 8), nn.Sigmoid())], nn.Linear(8, 2))
    x = torch.randn(16, 8)
    apart, here = check_gradients(sick, x, isolation="fork"), check_gradients(sick, x)
    assert not here.ok
    assert apart.to_dict() == here.to_dict()
    with pytest.raises(UnhealthyGradientsError, match="vanishing-gradient"):
        assert_gradients_healthy(sick, x, isolation="fork")


def test_arguments_go_along() -> None:
    report = check_gradients(nn.Linear(4, 1), torch.randn(8, 4), isolation="fork", seed=3, select=["dead-unit"], target="here")
    assert (report.seed, report.rules, report.target) == (3, ("dead-unit",), "here")


@pytest.mark.slow
def test_errors_are_raised_here() -> None:
    x = torch.randn(4, 4)
    with pytest.raises(UsageError, match="no-such-rule"):
        check_gradients(nn.Linear(4, 4), x, isolation="fork", select=["no-such-rule"])
    with pytest.raises(ModelError, match="ZeroDivisionError"):
        check_gradients(Does(lambda: 1 / 0), x, isolation="fork")
    told = []
    for isolation in ("fork", None):
        with pytest.raises(InputInferenceError) as caught:
            check_gradients(Does(lambda: 1 / 0), isolation=isolation)
        told.append((str(caught.value), caught.value.specs))
    assert told[0] == told[1]


class Odd(BaseException):
    """Cannot be rebuilt from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raises(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_errors_that_are_none_of_ours() -> None:
    x = torch.randn(4, 4)
    with pytest.raises(SystemExit, match="7"):
        check_gradients(Does(raises(SystemExit(7))), x, isolation="fork")
    with pytest.raises(ModelError, match="Odd: 1 and 2"):
        check_gradients(Does(raises(Odd(1, 2))), x, isolation="fork")


def test_death_is_reported() -> None:
    x = torch.randn(4, 4)
    with pytest.raises(ModelError, match="SIGKILL"):
        check_gradients(Does(lambda: os.kill(os.getpid(), signal.SIGKILL)), x, isolation="fork")
    with pytest.raises(ModelError, match="with code 3"):
        check_gradients(Does(lambda: os._exit(3)), x, isolation="fork")


def test_interrupt_ends_the_other_process(tmp_path: Path) -> None:
    """Ctrl-C here, while the model there sleeps for ever."""
    parent, other = os.getpid(), tmp_path / "other"

    def act() -> None:
        other.write_text(str(os.getpid()))
        os.kill(parent, signal.SIGINT)
        signal.pause()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            check_gradients(Does(act), torch.randn(4, 4), isolation="fork")
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(other.read_text()), 0)


def test_it_does_not_wait_for_threads_that_are_not_there() -> None:
    """A parent that has computed with two threads: without the first act of the child it would hang."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.randn(600, 600) @ torch.randn(600, 600)
        assert check_gradients(nn.Linear(600, 600), torch.randn(600, 600), isolation="fork").ok
    finally:
        torch.set_num_threads(threads)


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(4, 4)
    with pytest.raises(UsageError, match="did you mean 'fork'"):
        check_gradients(model, isolation="forked")
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_initialized", lambda: True)
        with pytest.raises(UsageError, match="CUDA is in use"):
            check_gradients(model, isolation="fork")
    monkeypatch.delattr(os, "fork")
    with pytest.raises(UsageError, match="cannot fork"):
        check_gradients(model, isolation="fork")


def test_grandchildren_are_not_waited_for() -> None:
    start = time.monotonic()
    check_gradients(
        Does(lambda: subprocess.Popen(["sleep", "20"], close_fds=False)), torch.randn(8, 4), isolation="fork", rounds=1
    )
    assert time.monotonic() - start < 15


@pytest.mark.slow
def test_a_fork_that_never_answers_is_ended() -> None:
    config = dataclasses.replace(Config(), timeout=2.0)
    with pytest.raises(ModelError, match="no answer within 2 s"):
        check_gradients(Does(lambda: time.sleep(60)), torch.randn(8, 4), isolation="fork", config=config)


def test_ignored_children_and_missing_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    monkeypatch.setattr("sys.stdout", None)
    try:
        assert check_gradients(nn.Linear(4, 1), torch.randn(8, 4), isolation="fork").ok
    finally:
        signal.signal(signal.SIGCHLD, before)
