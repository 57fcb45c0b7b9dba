"""SARIF 2.1.0, for GitHub code scanning and other viewers: every rule that ran, with its own description, and every finding."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from gradcheck_health.formats._places import (
    SourceLine,
    fingerprint,
    fingerprints,
    first_line,
    from_root,
    full_text,
    line,
    subject,
    top,
)
from gradcheck_health.formats._rule_docs import rule_doc
from gradcheck_health.formats._text import printable
from gradcheck_health.records.change import Change
from gradcheck_health.records.finding import Finding, Place
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.records.version import __version__

SUFFIX = ".sarif"
ALSO = (".sarif.json",)
MAX_RELATED = 20
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
    """Text of a message; `[a](b)` would be a link in it, whoever chose the words."""
    text = re.sub(r"\[(?=[^\[\]]*\]\()", r"\\[", text)
    return "\n".join(map(printable, text.split("\n")))


def locations(finding: Finding, first: SourceLine | None) -> dict[str, Any]:
    """`locations`, one, because viewers show no more, and `relatedLocations` for the other lines.

    Args:
        first: where the finding is shown.
    """
    here: dict[str, Any] = {}
    if first is not None:
        here["physicalLocation"] = physical(first)
    if finding.places:
        here["logicalLocations"] = [_logical(place) for place in finding.places]
    found = {"locations": [here]} if here else {}
    if related := _related(finding.places, first):
        found["relatedLocations"] = related
    return found


def physical(where: SourceLine) -> dict[str, Any]:
    """A line of a file: a relative URI against SRCROOT, an absolute one for a file elsewhere."""
    path = PurePath(from_root(where.path))
    uri = quote(path.as_posix().encode("utf-8", "surrogatepass"))
    artifact = {"uri": f"file://{uri}"} if path.is_absolute() else {"uri": uri, "uriBaseId": "SRCROOT"}
    return {"artifactLocation": artifact, "region": {"startLine": where.number}}


def _logical(place: Place) -> dict[str, str]:
    name = printable(place.name) or "(the model itself)"
    return {"name": name.rpartition(".")[2] or name, "fullyQualifiedName": name, "kind": "member"}


def _related(places: Sequence[Place], first: SourceLine | None) -> list[dict[str, Any]]:
    """Each further line once, with the names that stand there."""
    names: dict[SourceLine, list[str]] = {}
    for place in places:
        if (where := line(place.source)) and where != first:
            names.setdefault(where, []).append(printable(place.name))
    entries = list(names.items())[:MAX_RELATED]
    return [
        {"id": number, "physicalLocation": physical(where), "message": {"text": ", ".join(there[:4])}}
        for number, (where, there) in enumerate(entries, 1)
    ]
