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


@pytest.fixture
def gradhealth(request: pytest.FixtureRequest) -> Iterator[Callable[..., Report]]:
    """Check a model's gradients: `gradhealth(model, inputs=None, **settings)` returns the report, or fails the test.

    Takes what `check_gradients` takes. Warnings of the report are issued as `GradientHealthWarning`. The random generators are
    seeded for the test, so that a model which it builds is the same in every run, and come back as they were.
    """
    settings_for = settings_or_fail(request)
    show_rules = by_rule(request)
    checks = itertools.count()

    def check(model: Any, inputs: Any = None, **settings: Any) -> Report:
        __tracebackhide__ = True
        from gradcheck_health.records.errors import GradhealthError

        try:
            report = check_beside(
                request.node, nth(request.node.nodeid, next(checks)), model, inputs, settings_for(model), settings
            )
        except GradhealthError as error:
            not_checked(request.node, getattr(model, "__name__", type(model).__name__), error)
            # its message says what and where; our frames would only bury it
            raise error.with_traceback(None) from error.__cause__
        show_rules(report)
        # the caller of the fixture: the lambda, `conclude`, `check`, the test
        conclude(report, request.node, lambda warning: warnings.warn(warning, stacklevel=4))
        return report

    with _seeded(settings_for(None).seed):
        yield check


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
