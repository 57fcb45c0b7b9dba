"""JUnit XML: a suite for each model, a case for each rule that ran, so that passes are seen as well as failures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import filterfalse
from xml.etree import ElementTree as ET

from gradcheck_health.formats._places import first_line, full_text, subject
from gradcheck_health.formats._text import defuse, printable
from gradcheck_health.formats._wording import one_line
from gradcheck_health.records.report import Failure, Report

SUFFIX = ".xml"


def render(report: Report) -> str:
    """One report."""
    return render_run([report], [], int(not report.ok))


def render_run(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """A run. An accepted finding is a skipped case with its reason, a target that could not be checked is an error."""
    root = ET.Element("testsuites", name="gradhealth")
    for report in reports:
        root.append(_suite(subject(report), _cases(report), _properties(report)))
    for failure in failures:
        case = ET.Element("testcase", classname=printable(failure.target), name="check")
        _add(case, "error", failure.message, type=f"exit code {failure.exit_code}")
        root.append(_suite(failure.target, [case], {}))
    for total in ("tests", "failures", "errors", "skipped"):
        root.set(total, str(sum(int(suite.get(total, "0")) for suite in root)))
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(('<?xml version="1.0" encoding="utf-8"?>\n', "\n"))


def _suite(name: str, cases: Sequence[ET.Element], properties: dict[str, str]) -> ET.Element:
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
    }
    suite = ET.Element("testsuite", {"name": printable(name), **{key: str(value) for key, value in counts.items()}})
    if properties:
        block = ET.SubElement(suite, "properties")
        for key, value in properties.items():
            ET.SubElement(block, "property", name=printable(key), value=printable(value))
    suite.extend(cases)
    return suite


def _properties(report: Report) -> dict[str, str]:
    own = {"model": report.model, "seed": str(report.seed), "rounds": str(report.rounds)}
    return {**report.environment, **own, "inputs": report.trace.inputs.description}


def _cases(report: Report) -> list[ET.Element]:
    names = dict.fromkeys([*report.rules, *(finding.rule for finding in report.findings)])
    return [_case(name, report) for name in names]


def _case(rule: str, report: Report) -> ET.Element:
    case = ET.Element("testcase", classname=printable(subject(report)), name=printable(rule))
    found = [finding for finding in report.findings if finding.rule == rule]
    where = next((line for finding in found if (line := first_line(finding, report))), None)
    if where is not None:
        case.set("file", printable(where.path))
        case.set("line", str(where.number))
    failing = list(filter(report.fails, found))
    if failing:  # one element: readers count each as a test that failed
        worst = failing[0]
        _add(case, "failure", "\n\n".join(map(full_text, failing)), message=one_line(worst), type=str(worst.severity))
    accepted = [finding for finding in found if finding.suppressed is not None]
    if accepted and not failing:
        ET.SubElement(case, "skipped", message=printable("; ".join(f"accepted: {one.suppressed}" for one in accepted)))
    rest = list(filterfalse(report.fails, found))
    if rest:
        _add(case, "system-out", "\n".join(full_text(finding) for finding in rest))
    return case


def _add(case: ET.Element, tag: str, text: str, **attributes: str) -> None:
    element = ET.SubElement(case, tag, {key: printable(value) for key, value in attributes.items()})
    # logs show this text, too
    element.text = "\n".join(defuse(printable(line)) for line in text.split("\n"))
