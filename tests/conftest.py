"""What holds for every test: in CI nothing skips, because a skipped test looks green and proves nothing."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: workers with all cores each are slower than one alone
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")  # a run that fails fails again
IN_CI = bool(os.environ.get("GRADHEALTH_CI"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--overwrite", action="store_true", help="write the golden files anew instead of comparing with them")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Neighbours stay on one worker, unless another way is asked for: what the tests of a module share is dear."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.option.dist == "load" else None


def pytest_configure() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, and the tests of interruptions need it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    # an expected failure is reported as skipped, too; it has run
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and "cuda" not in getattr(report, "keywords", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} skipped, and GRADHEALTH_CI allows no skip: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """What was compiled of a file is taken for the next one of that name, if both are as long and a second apart at most."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return pytester


@pytest.fixture(scope="session")
def everything_imported() -> None:
    """pytester forgets what a run in this process imported, and torch cannot be imported twice."""
    from torch import nn

    from gradcheck_health import check_gradients

    class Sick(nn.Linear):
        def __init__(self) -> None:
            super().__init__(6, 2)
            self.unused = nn.Linear(2, 2)

    assert not check_gradients(Sick()).ok
    importlib.import_module("torch._dynamo")  # the first step of an optimizer does it
