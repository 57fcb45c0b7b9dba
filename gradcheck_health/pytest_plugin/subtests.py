"""Subtests by rule, where `--gradhealth-subtests` asks for them: each rule that ran passes or fails under its own name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradcheck_health.records.report import Report


def by_rule(request: pytest.FixtureRequest) -> Callable[[Report], None]:
    """A function that shows a report's rules as subtests; one that does nothing where nobody asked.

    Subtests come with pytest 9, and with the plugin pytest-subtests before that.
    """
    if not request.config.getoption("gradhealth_subtests"):
        return lambda report: None
    try:
        subtests: Any = request.getfixturevalue("subtests")
    except pytest.FixtureLookupError:
        pytest.fail("--gradhealth-subtests needs pytest 9, or the plugin pytest-subtests", pytrace=False)

    def show(report: Report) -> None:
        from gradcheck_health.formats._places import full_text

        for rule in report.rules:
            with subtests.test(msg=rule):
                if failing := [finding for finding in report.failures if finding.rule == rule]:
                    pytest.fail("\n\n".join(map(full_text, failing)), pytrace=False)

    return show
