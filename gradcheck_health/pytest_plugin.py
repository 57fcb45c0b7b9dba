"""The pytest plugin: the fixture and the marker `gradhealth`, the options `--gradhealth-*`. The only file that knows pytest.

pytest loads this at every start, whether or not a test checks gradients, so it imports nothing heavy until a test does.
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradcheck_health.config import Config
    from gradcheck_health.config_files import Source
    from gradcheck_health.report import Report

OPTIONS: dict[str, dict[str, Any]] = {
    "select": {"action": "append", "metavar": "RULE[,RULE]", "help": "run only these rules; repeatable"},
    "ignore": {
        "action": "append",
        "metavar": "RULE[:PATTERN][=REASON]",
        "help": "accept findings of a rule on names that match; repeatable",
    },
    "config": {"metavar": "FILE", "help": "read settings from this file only"},
    "set": {
        "action": "append",
        "metavar": "KEY=VALUE",
        "help": "one setting, such as rules.dead-unit.max_fraction=0.3; repeatable",
    },
    "fail-on": {"choices": ["error", "warning", "note"], "help": "the least severity that fails (default: error)"},
    "seed": {"type": int, "metavar": "N", "help": "seed of inputs, projections and initialisations (default: 0)"},
    "rounds": {"type": int, "metavar": "N", "help": "at most so many looks before a verdict (default: 5)"},
    "device": {"metavar": "DEVICE", "help": "where to run, such as cpu or cuda:1"},
    "dtype": {"metavar": "DTYPE", "help": "floating dtype, such as float64"},
    "batch-size": {"type": int, "metavar": "N", "help": "samples in a made-up batch"},
}
MARKER = (
    "gradhealth(*, seed, rounds, select, ignore, rules, extra_rules, fail_on, batch_size, device, dtype, inputs): "
    'settings for the fixture `gradhealth`, such as ignore={"dead-unit": "ReLU at initialisation"}'
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradhealth", "gradient health (gradcheck_health)")
    for name, option in OPTIONS.items():
        group.addoption(f"--gradhealth-{name}", dest=f"gradhealth_{name.replace('-', '_')}", default=None, **option)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A marked test that never asks for the fixture checks nothing, and should not look as if it did."""
    if item.get_closest_marker("gradhealth") and "gradhealth" not in getattr(item, "fixturenames", ()):
        item.warn(
            pytest.PytestWarning(f"{item.nodeid} has the marker gradhealth but does not use the fixture: nothing is checked")
        )


@pytest.fixture
def gradhealth(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """Check a model's gradients: `gradhealth(model, inputs=None, **settings)` returns the report, or fails the test.

    Takes what `check_gradients` takes. Warnings of the report are issued as `GradientHealthWarning`.
    """
    config = _settings_or_fail(request)

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


def _settings_or_fail(request: pytest.FixtureRequest) -> Config:
    from gradcheck_health.errors import UsageError

    try:
        return _settings(request)
    except UsageError as error:
        text = str(error)
    # outside of the handler, so that the report does not show one error as the cause of the other
    pytest.fail(f"gradhealth: {text}", pytrace=False)


def _settings(request: pytest.FixtureRequest) -> Config:
    from gradcheck_health.config import resolve

    return resolve([*_from_file(request), *_from_options(request.config), *_from_markers(request.node)])


def _from_file(request: pytest.FixtureRequest) -> list[Source]:
    from gradcheck_health.config_files import in_files

    named = request.config.getoption("gradhealth_config")
    return in_files(Path(named) if named else None, start=request.path.parent)


def _from_options(config: pytest.Config) -> list[Source]:
    from gradcheck_health.commands.settings import sources

    given = {name.replace("-", "_"): config.getoption(f"gradhealth_{name.replace('-', '_')}") for name in OPTIONS}
    return sources({**given, "settings": given["set"]}, prefix="--gradhealth-")


def _from_markers(node: pytest.Item) -> list[Source]:
    """The outermost first, so that a test's own marker goes over that of its class and module."""
    from gradcheck_health.config_files import Source
    from gradcheck_health.errors import UsageError

    found = []
    for marker in reversed(list(node.iter_markers("gradhealth"))):
        if marker.args:
            raise UsageError(f"the marker takes keyword arguments only, such as seed=3; got {marker.args[0]!r}")
        found.append(
            Source("marker", {key: list(value) if isinstance(value, tuple) else value for key, value in marker.kwargs.items()})
        )
    return found
