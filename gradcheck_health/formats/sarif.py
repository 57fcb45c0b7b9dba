"""SARIF 2.1.0, for GitHub code scanning and other viewers: every rule that ran, with its own description, and every finding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from gradcheck_health import __version__
from gradcheck_health.change import Change
from gradcheck_health.formats import Failure
from gradcheck_health.formats._places import fingerprint, fingerprints, first_line, full_text, subject, top
from gradcheck_health.formats._rule_docs import rule_doc
from gradcheck_health.formats._sarif_places import locations, physical
from gradcheck_health.formats._text import printable
from gradcheck_health.report import Finding, Report

SUFFIX = ".sarif"
ALSO = (".sarif.json",)
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(report: Report) -> str:
    """One report."""
    return render_run([report], [], int(not report.ok))


def render_run(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """A run. Notes are among its results with level "note"; accepted findings carry a suppression with the reason."""
    names = [name for report in reports for name in (*report.rules, *(finding.rule for finding in report.findings))]
    names += [entry.rule for report in reports if report.change for entry in report.change.gone]
    rules = {name: index for index, name in enumerate(dict.fromkeys(names))}
    run = {
        "tool": {
            "driver": {
                "name": "gradcheck_health",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(name) for name in rules],
            }
        },
        "originalUriBaseIds": {
            "SRCROOT": {"description": {"text": "The root of the repository, or the folder in which the command was run."}}
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(failures, exit_code)],
        "results": [result for report in reports for result in _results(report, rules)],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=True, indent=1) + "\n"


def _rule(name: str) -> dict[str, Any]:
    about = rule_doc(name)
    rule = {"id": printable(name), "defaultConfiguration": {"level": "error"}, "properties": {"tags": ["gradient"]}}
    if about is not None:
        rule["shortDescription"] = {"text": about.summary}
        rule["fullDescription"] = {"text": about.summary}
        rule["help"] = {"text": about.text, "markdown": about.markdown}
    return rule


def _invocation(failures: Sequence[Failure], exit_code: int) -> dict[str, Any]:
    told = [_notification(failure) for failure in failures]
    return {"executionSuccessful": not failures, "exitCode": exit_code, "toolExecutionNotifications": told}


def _notification(failure: Failure) -> dict[str, Any]:
    notification: dict[str, Any] = {
        "level": "error",
        "message": {"text": _lines(f"{failure.target}: not checked\n{failure.message}")},
    }
    if where := top(failure.target):
        notification["locations"] = [{"physicalLocation": physical(where)}]
    return notification


def _results(report: Report, rules: dict[str, int]) -> Iterator[dict[str, Any]]:
    for finding, key in fingerprints(report):
        result = _result(finding.rule, str(finding.severity), full_text(finding), key, rules)
        result |= locations(finding, first_line(finding, report))
        if finding.suppressed is not None:
            result["suppressions"] = [_suppression(finding)]
        if report.change is not None:
            result["baselineState"] = _state(finding, report.change)
        result["properties"] = _properties(finding, report)
        yield result
    if report.change is not None:
        for entry in report.change.gone:
            gone = fingerprint("gone", subject(report), entry.key)
            yield {**_result(entry.rule, "none", f"gone: {entry.key}", gone, rules), "kind": "pass", "baselineState": "absent"}


def _result(rule: str, level: str, text: str, key: str, rules: dict[str, int]) -> dict[str, Any]:
    return {
        "ruleId": printable(rule),
        "ruleIndex": rules[rule],
        "level": level,
        "message": {"text": _lines(text)},
        "partialFingerprints": {"gradhealthNames/v1": key},
    }


def _suppression(finding: Finding) -> dict[str, str]:
    return {"kind": "external", "status": "accepted", "justification": printable(finding.suppressed or "")}


def _state(finding: Finding, change: Change) -> str:
    new = {entry.name for entry in change.new if entry.rule == finding.rule}
    return "new" if "" in new or new & set(finding.names) else "unchanged"


def _properties(finding: Finding, report: Report) -> dict[str, Any]:
    numbers = {"got": finding.got, "allowed": finding.bound}
    # NaN and infinities are no JSON
    measured = {key: value if abs(value) < float("inf") else str(value) for key, value in numbers.items() if value is not None}
    return {"model": printable(report.model), "target": printable(subject(report)), "seed": report.seed, **measured}


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
