"""The fixture `gradhealth`."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterator
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
        name = nth(self.node.nodeid, next(self._checks))
        report = self._checked(model, lambda: check_beside(self.node, name, model, inputs, self.settings_for(model), settings))
        # the caller of the fixture: the lambda, `conclude`, this method, the test
        conclude(report, self.node, lambda warning: warnings.warn(warning, stacklevel=4))
        return report

    def step(self, step: Callable[..., Any], model: Any, optimizer: Any, **settings: Any) -> Report:
        """The report on a training step of your own; takes what `check_step` takes: `batches=[...]` and settings."""
        __tracebackhide__ = True
        from gradcheck_health.check.step import check_step

        config = self.settings_for(model)
        report = self._checked(model, lambda: check_step(step, model, optimizer, config=config, **settings))
        conclude(report, self.node, lambda warning: warnings.warn(warning, stacklevel=4))
        return report

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

    Takes what `check_gradients` takes; `gradhealth.step(step, model, optimizer)` watches a training step of your own. Warnings
    of the report are issued as `GradientHealthWarning`. The random generators are seeded for the test, so that a model which it
    builds is the same in every run, and come back as they were.
    """
    checker = Checker(request)
    with _seeded(checker.settings_for(None).seed):
        yield checker


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
