"""Annotations of GitHub Actions: a line of standard output for each, at most ten, because a step shows no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradcheck_health.formats._places import SourceLine, first_line, from_root, full_text, subject, top
from gradcheck_health.formats._text import printable, shorten
from gradcheck_health.formats._wording import worth_showing
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.records.wording import counted

SUFFIX = ".github.txt"
LIMIT = 10
COMMANDS = ("error", "warning", "notice")
MAX_TEXT = 4000
"""Characters of one message; the forge cuts far behind that."""


@dataclass
class _Annotation:
    """One line, and the models of which it is true."""

    rank: int
    title: str
    text: str
    where: SourceLine | None
    subjects: list[str]


def render(report: Report) -> str:
    """One report."""
    return render_run([report], [], int(not report.ok))


def render_run(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """A run, worst first; like findings on one line are one annotation, and the last tells how many more there are."""
    found = [*map(_failure, failures), *_grouped(reports)]
    found.sort(key=lambda annotation: annotation.rank)
    if len(found) > LIMIT:
        more = counted(len(found) - LIMIT + 1, "more finding")
        rank = found[LIMIT - 1].rank
        found = [*found[: LIMIT - 1], _Annotation(rank, "gradhealth", f"and {more}: see the summary of this job", None, [])]
    return "\n".join(map(_command, found)) + "\n"


def _failure(failure: Failure) -> _Annotation:
    return _Annotation(0, "not checked", f"{failure.target}: {failure.message}", top(failure.target), [failure.target])


def _grouped(reports: Sequence[Report]) -> Iterator[_Annotation]:
    groups: dict[tuple[object, ...], _Annotation] = {}
    for report in reports:
        for finding in worth_showing(report):
            where = first_line(finding, report)
            one = _Annotation(finding.severity.rank, finding.rule, _text(finding), where, [subject(report)])
            group = groups.setdefault((one.rank, finding.rule, where, None if where else one.text), one)
            if group is not one and subject(report) not in group.subjects:
                group.subjects.append(subject(report))
    yield from groups.values()


def _text(finding: Finding) -> str:
    """Without the rule, which stands in the title."""
    return full_text(finding).removeprefix(f"{finding.rule}: ")


def _command(one: _Annotation) -> str:
    properties = {}
    if one.where is not None:
        properties = {"file": from_root(one.where.path), "line": str(one.where.number)}
    more = f" and {len(one.subjects) - 1} more" if len(one.subjects) > 1 else ""
    properties["title"] = shorten(f"{one.title} in {one.subjects[0]}{more}" if one.subjects else one.title, 200)
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{COMMANDS[one.rank]} {written}::{_data(one.text[:MAX_TEXT])}"


def _data(text: str) -> str:
    """Lines joined as the runner wants them; nothing else of the text can end the command or begin another."""
    return "%0A".join(printable(line).replace("%", "%25") for line in text.split("\n"))


def _property(text: str) -> str:
    return printable(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
