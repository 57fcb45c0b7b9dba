"""A line a finding, `file:line: severity: rule: message`, as compilers and linters print them and editors read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradcheck_health.formats import _change
from gradcheck_health.formats._places import first_line, subject
from gradcheck_health.formats._text import defuse, escape
from gradcheck_health.formats._wording import places, worth_showing
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.records.wording import counted

SUFFIX = ".concise.txt"


def render(report: Report) -> str:
    """One report."""
    return render_run([report], [], int(not report.ok))


def render_run(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """A run: its findings, the targets that could not be checked, and a last line that counts them."""
    lines = [line for report in reports for line in _report(report)]
    lines += [f"{escape(one.target)}: not checked: {escape(one.message.partition(chr(10))[0])}" for one in failures]
    return "\n".join(map(defuse, [*lines, _summary(reports, failures)])) + "\n"


def _report(report: Report) -> Iterator[str]:
    for finding in worth_showing(report):
        yield f"{_where(finding, report)}: {finding.severity}: {escape(finding.rule)}: {escape(finding.message)}{_at(finding)}"
    if sizes := report.environment.get("shrunk"):
        yield f"{escape(subject(report))}: note: {escape(sizes)}"
    for entry in report.unmatched:
        yield f"{escape(subject(report))}: note: ignore entry {escape(entry)!r} matched nothing: remove it"
    for text in _change.flat(report.change):
        yield f"{escape(subject(report))}: changed: {escape(text)}"


def _where(finding: Finding, report: Report) -> str:
    found = first_line(finding, report)
    return escape(f"{found.path}:{found.number}" if found else subject(report))


def _at(finding: Finding) -> str:
    """The names; the source stands at the start of the line."""
    bare = [type(place)(place.name, place.kind) for place in finding.places]
    return f" at {places(bare)}" if bare else ""


def _summary(reports: Sequence[Report], failures: Sequence[Failure]) -> str:
    sick = sum(not report.ok for report in reports)
    failed = f", {len(failures)} not checked" if failures else ""
    return f"{counted(len(reports), 'model')} checked: {len(reports) - sick} healthy, {sick} unhealthy{failed}"
