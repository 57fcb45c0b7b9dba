"""The fixture `gradhealth`."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck_health.pytest_plugin.settings import settings_or_fail

if TYPE_CHECKING:
    from gradcheck_health.report import Report


@pytest.fixture
def gradhealth(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """Check a model's gradients: `gradhealth(model, inputs=None, **settings)` returns the report, or fails the test.

    Takes what `check_gradients` takes. Warnings of the report are issued as `GradientHealthWarning`.
    """
    config = settings_or_fail(request)

    def check(model: Any, inputs: Any = None, **settings: Any) -> Report:
        __tracebackhide__ = True
        from gradcheck_health.check import check_gradients
        from gradcheck_health.errors import GradhealthError
        from gradcheck_health.formats import terminal

        try:
            report = check_gradients(model, inputs, config=config, **settings)
        except GradhealthError as error:
            # its message says what and where; our frames would only bury it
            raise error.with_traceback(None) from error.__cause__
        if not report.ok:
            again = f"pytest {shlex.quote(request.node.nodeid)} --gradhealth-seed {report.seed}"
            pytest.fail(terminal.render(report, repeat=again), pytrace=False)
        _warn(report)
        return report

    return check


def _warn(report: Report) -> None:
    __tracebackhide__ = True
    from gradcheck_health.errors import GradientHealthWarning
    from gradcheck_health.formats import terminal
    from gradcheck_health.report import Severity

    for finding in report.active:
        if finding.severity is Severity.WARNING:
            # the caller of the fixture: this function, `check`, the test
            warnings.warn(GradientHealthWarning(f"{terminal.one_line(finding)} in {report.model}"), stacklevel=3)
