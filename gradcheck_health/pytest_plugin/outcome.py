"""What becomes of a report in a test: it fails in one message, or warns, and the summary and JUnit hear of it."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from gradcheck_health.pytest_plugin import options

if TYPE_CHECKING:
    from gradcheck_health.records.errors import GradhealthError
    from gradcheck_health.records.report import Failure, Report

REPORTS = pytest.StashKey[list["Report"]]()
"""The reports that a test made, in order."""
FAILURES = pytest.StashKey[list["Failure"]]()
"""What a test wanted checked and could not be."""
NOT_CHECKED = "gradhealth.not_checked"
"""The property of a test report that says so; it travels from the workers of xdist."""


def conclude(report: Report, node: pytest.Item, warn: Callable[[Warning], None], place: str = "") -> None:
    """Record the report, warn about its warnings, and fail the test where it is not ok.

    Args:
        warn: issues a warning at the line of the code that is responsible.
        place: the line of the test that asked for the check, where there is one.
    """
    __tracebackhide__ = True
    from gradcheck_health.formats import terminal
    from gradcheck_health.records.launch import shown_elsewhere

    report = dataclasses.replace(report, repeat=_repeat(node, report.seed))
    node.stash.setdefault(REPORTS, []).append(report)
    node.user_properties.extend(_properties(report))
    if not report.ok:
        asked = f"asked:   {place}\n" if place else ""
        pytest.fail(terminal.render_once(report) + asked, pytrace=False)
    for warning in () if shown_elsewhere(report.trace.ranks) else _warnings(report):
        warn(warning)


def _repeat(node: pytest.Item, seed: int) -> str:
    """The command that runs this test again, from where pytest was started, with the options of this plugin."""
    from gradcheck_health.formats._text import quoted
    from gradcheck_health.records.launch import launcher

    path, _, rest = node.nodeid.partition("::")
    place = os.path.relpath(node.config.rootpath / path, node.config.invocation_params.dir)
    words = [f"{launcher()}pytest", quoted(f"{place}::{rest}" if rest else place)]
    for name, value in options.given(node.config).items():
        if value is not None and value is not False and name not in ("seed", "update", "update_new_only"):
            flag = f"--gradhealth-{name.replace('_', '-')}"
            words += [f"{flag}={quoted(str(one))}" for one in (value if isinstance(value, list) else [value])]
    return " ".join([*words, f"--gradhealth-seed {seed}"])


def not_checked(node: pytest.Item, target: str, error: GradhealthError) -> None:
    """Record that there is no verdict, so that the summary and the documents count it."""
    from gradcheck_health.formats._text import printable
    from gradcheck_health.records.report import Failure

    node.stash.setdefault(FAILURES, []).append(Failure(target, str(error), error.exit_code))
    node.user_properties.append((NOT_CHECKED, printable(f"{target}: {str(error).removeprefix(f'{target}: ')}")))


def _warnings(report: Report) -> list[Warning]:
    from gradcheck_health.formats._wording import one_line
    from gradcheck_health.records.errors import GradientHealthWarning
    from gradcheck_health.records.finding import Severity

    found = [finding for finding in report.active if finding.severity is Severity.WARNING]
    return [GradientHealthWarning(f"{one_line(finding)} in {report.model}") for finding in found]


def _properties(report: Report) -> list[tuple[str, object]]:
    """Flat values, because they travel between processes and into the XML of JUnit."""
    from gradcheck_health.formats._places import subject
    from gradcheck_health.formats._text import printable
    from gradcheck_health.records.finding import Severity

    rules = dict.fromkeys(finding.rule for finding in report.active if finding.severity is not Severity.NOTE)
    return [
        ("gradhealth.model", printable(subject(report))),
        ("gradhealth.ok", report.ok),
        ("gradhealth.errors", report.count(Severity.ERROR)),
        ("gradhealth.warnings", report.count(Severity.WARNING)),
        ("gradhealth.accepted", len(report.findings) - len(report.active)),
        ("gradhealth.rules", printable(", ".join(rules))),
        ("gradhealth.seed", report.seed),
    ]


def at(path: str, line: int) -> Callable[[Warning], None]:
    """Issues warnings at a line of a file."""
    return lambda warning: warnings.warn_explicit(warning, None, path, line)
