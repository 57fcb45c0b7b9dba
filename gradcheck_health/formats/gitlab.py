"""GitLab code quality: an issue for each finding and each line; its merge requests show what is new and what is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from gradcheck_health.formats._places import (
    SourceLine,
    fingerprint,
    fingerprints,
    first_line,
    from_root,
    subject,
    top,
)
from gradcheck_health.formats._text import printable
from gradcheck_health.formats._wording import is_worth_showing
from gradcheck_health.records.finding import Severity
from gradcheck_health.records.report import Failure, Report

SUFFIX = ".gitlab.json"
ALSO = ("gl-code-quality-report.json",)
SEVERITY = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.NOTE: "info"}


def render(report: Report) -> str:
    """One report."""
    return render_run([report], [], int(not report.ok))


def render_run(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """A run: one list, in which every fingerprint stands once, because GitLab drops the second."""
    issues = {issue["fingerprint"]: issue for report in reports for issue in _findings(report)}
    issues |= {issue["fingerprint"]: issue for issue in map(_failure, failures)}
    return json.dumps(list(issues.values()), ensure_ascii=True, indent=1) + "\n"


def _findings(report: Report) -> Iterator[dict[str, Any]]:
    for finding, key in fingerprints(report):
        if is_worth_showing(finding, report):
            description = f"{finding.rule}: {finding.message} ({subject(report)})"
            where = first_line(finding, report) or SourceLine(subject(report), 1)
            yield _issue(finding.rule, description, SEVERITY[finding.severity], key, where)


def _failure(failure: Failure) -> dict[str, Any]:
    where = top(failure.target) or SourceLine(failure.target, 1)
    description = f"not checked: {failure.target}: {failure.message.partition(chr(10))[0]}"
    return _issue("not-checked", description, "blocker", fingerprint("not-checked", failure.target), where)


def _issue(rule: str, description: str, severity: str, key: str, where: SourceLine) -> dict[str, Any]:
    return {
        "description": printable(description),
        "check_name": printable(rule),
        "fingerprint": key,
        "severity": severity,
        "location": {"path": printable(from_root(where.path)), "lines": {"begin": where.number}},
    }
