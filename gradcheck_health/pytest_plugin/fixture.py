"""The fixture `gradhealth`."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck_health.pytest_plugin.baseline import check_beside, nth
from gradcheck_health.pytest_plugin.outcome import conclude, not_checked
from gradcheck_health.pytest_plugin.settings import settings_or_fail
from gradcheck_health.pytest_plugin.subtests import by_rule

if TYPE_CHECKING:
    from gradcheck_health.records.report import Report


class Checker:
    """What the fixture hands over: call it with a model, or hand a training step to `step`."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.node: pytest.Item = request.node
        self.settings_for = settings_or_fail(request)
        self._show_rules = by_rule(request)
        self._checks = itertools.count()

    def __call__(self, model: Any, inputs: Any = None, **settings: Any) -> Report:
        """The report on a model; takes what `check_gradients` takes."""
        __tracebackhide__ = True
        _refuse_unknown("gradcheck_health.check.api", "check_gradients", settings)
        name = nth(self.node.nodeid, next(self._checks))
        report = self._checked(model, lambda: check_beside(self.node, name, model, inputs, self.settings_for(model), settings))
        # the caller of the fixture: the lambda, `conclude`, this method, the test
        conclude(report, self.node, lambda warning: warnings.warn(warning, stacklevel=4), self._asked(sys._getframe(1)))
        return report

    def step(self, step: Callable[..., Any], model: Any, optimizer: Any, **settings: Any) -> Report:
        """The report on a training step of your own; takes what `check_step` takes: `batches=[...]` and settings."""
        __tracebackhide__ = True
        from gradcheck_health.check.step import check_step

        _refuse_unknown("gradcheck_health.check.step", "check_step", settings)
        config = self.settings_for(model)
        report = self._checked(model, lambda: check_step(step, model, optimizer, config=config, **settings))
        conclude(report, self.node, lambda warning: warnings.warn(warning, stacklevel=4), self._asked(sys._getframe(1)))
        return report

    def trains(self, model: Any, inputs: Any = None, **settings: Any) -> Report:
        """The report on a short run that is undone; takes what `check_trains` takes: `loss=`, `optimizer=`, `steps=` ..."""
        __tracebackhide__ = True
        from gradcheck_health.check.watch.trains import check_trains

        config = self.settings_for(model)
        report = self._checked(model, lambda: check_trains(model, inputs, config=config, **settings))
        conclude(report, self.node, lambda warning: warnings.warn(warning, stacklevel=4), self._asked(sys._getframe(1)))
        return report

    def _asked(self, caller: FrameType) -> str:
        """The line of the test, as seen from where pytest was started."""
        place = os.path.relpath(caller.f_code.co_filename, self.node.config.invocation_params.dir)
        return f"{place}:{caller.f_lineno}"

    def _checked(self, model: Any, check: Callable[[], Report]) -> Report:
        __tracebackhide__ = True
        from gradcheck_health.records.errors import GradhealthError

        try:
            report = check()
        except GradhealthError as error:
            not_checked(self.node, getattr(model, "__name__", type(model).__name__), error)
            # its message says what and where; our frames would only bury it
            raise error.with_traceback(None) from error.__cause__
        self._show_rules(report)
        return report


@pytest.fixture
def gradhealth(request: pytest.FixtureRequest) -> Iterator[Checker]:
    """Check a model's gradients: `gradhealth(model, inputs=None, **settings)` returns the report, or fails the test.

    Takes what `check_gradients` takes; `gradhealth.step(step, model, optimizer)` watches a training step of your own, and
    `gradhealth.trains(model, inputs, loss=, targets=)` a short run that is undone afterwards. Warnings of the report are issued
    as `GradientHealthWarning`. The random generators are seeded for the test, so that a model which it builds is the same in
    every run, and come back as they were.
    """
    checker = Checker(request)
    with _seeded(checker.settings_for(None).seed):
        yield checker


def _refuse_unknown(module: str, function: str, settings: Mapping[str, Any]) -> None:
    """A misspelt keyword fails the test with the nearest one that the function takes."""
    __tracebackhide__ = True
    import inspect

    from gradcheck_health.records.errors import did_you_mean

    known = list(inspect.signature(getattr(importlib.import_module(module), function)).parameters)
    if unknown := [name for name in settings if name not in known]:
        hint = did_you_mean(unknown[0], known) or f"; it takes {', '.join(known)}"
        pytest.fail(f"gradhealth: the fixture takes no argument {unknown[0]!r}{hint}", pytrace=False)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    from gradcheck_health.model.call import seed_everything
    from gradcheck_health.model.sandbox.process_random import GENERATORS

    before = [(put_back, read()) for read, put_back in GENERATORS]
    seed_everything(seed)
    try:
        yield
    finally:
        for put_back, state in before:
            put_back(state)
