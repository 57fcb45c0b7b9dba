"""Markdown, for a comment on a merge request or the summary of a CI job: a table of models, then what is sick in each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gradcheck_health.formats import _change, _remedies, _scale
from gradcheck_health.formats._places import subject
from gradcheck_health.formats._text import defuse, printable
from gradcheck_health.formats._wording import places, worth_showing
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.records.wording import counted

SUFFIX = ".md"
COLUMNS = 100
"""Of tables that are shown as they are in a terminal."""
_MEANT = re.compile(r"[\\`*_\[\]<#|~&@$]")
"""Characters that Markdown, HTML or a forge (`@name`, `#1`, `$x$`) give a meaning to in the middle of a line."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", "@": "&#64;", "#": "&#35;", "|": "&#124;", "$": "&#36;"}


def render(report: Report) -> str:
    """One report."""
    return render_run([report], [], int(not report.ok))


def render_run(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """A run."""
    sick = sum(not report.ok for report in reports)
    verdict = f"{sick} of {counted(len(reports), 'model')} unhealthy" if sick else f"{counted(len(reports), 'model')} healthy"
    failed = f", {len(failures)} not checked" if failures else ""
    blocks = [f"# Gradient health: {verdict}{failed}"]
    if reports:
        blocks.append(
            "\n".join(["| model | verdict | errors | warnings | accepted |", "|---|---|---|---|---|", *map(_row, reports)])
        )
    for report in reports:
        blocks += _report(report)
    blocks += [f"**not checked**: {text(failure.target)}\n\n{fenced(failure.message)}" for failure in failures]
    return "\n\n".join(blocks) + "\n"


def cut(document: str, limit: int) -> str:
    """The document in at most `limit` bytes of UTF-8: whole lines, and a last one that says how many are left out."""
    if len(document.encode()) <= limit:
        return document
    lines, room = document.splitlines(keepends=True), limit - 100
    kept = 0
    while kept < len(lines) and (room := room - len(lines[kept].encode())) >= 0:
        kept += 1
    return "".join(lines[:kept]).rstrip("\n") + f"\n\n... {len(lines) - kept} more lines are left out here.\n"


def text(value: str) -> str:
    """Text that stands for itself, wherever it comes in a line."""
    return _MEANT.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), printable(value)).strip() or "(empty)"


def fenced(value: str) -> str:
    """A block of code; the fence is longer than any run of backquotes in it."""
    lines = [defuse(printable(line)) for line in value.split("\n")]
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", "\n".join(lines))), default=0))
    return "\n".join([fence, *lines, fence])


def _row(report: Report) -> str:
    counts = (report.count(Severity.ERROR), report.count(Severity.WARNING), len(report.findings) - len(report.active))
    verdict = "healthy" if report.ok else "**unhealthy**"
    return f"| {text(subject(report))} | {verdict} | {' | '.join(map(str, counts))} |"


def _report(report: Report) -> Iterator[str]:
    shown = worth_showing(report)
    accepted = [finding for finding in report.findings if finding.suppressed is not None]
    changes = list(_change.flat(report.change))
    if not (shown or accepted or changes or report.unmatched or report.trace.scale):
        return
    yield f"## {text(report.model)}"
    for finding in shown:
        yield f"**{finding.severity}: {text(finding.rule)}**: {text(finding.message)}"
        yield "\n".join(_details(report, finding))
    if shown:
        inputs = report.trace.inputs
        rounds = counted(report.rounds, "round")
        yield f"Inputs: {text(inputs.description)}, {text(inputs.origin)}; seed {report.seed}; {rounds}."
    if report.trace.scale is not None:
        yield fenced("\n".join(_scale.lines(report.trace.scale, COLUMNS)))
    if changes:
        yield "Changed:"
        yield "\n".join(f"- {text(line)}" for line in changes)
    if accepted:
        yield "Accepted:"
        yield "\n".join(f"- {text(one.rule)}: {text(one.message)}: {text(one.suppressed or '')}" for one in accepted)
    if report.unmatched:
        yield "Entries that matched nothing:"
        yield "\n".join(f"- {text(entry)}" for entry in report.unmatched)


def _details(report: Report, finding: Finding) -> Iterator[str]:
    if finding.places and not {label for label, _ in finding.details} & {"starts", "at"}:
        yield f"- at: {text(places(finding.places))}"
    for label, value in _remedies.details(report, finding):
        yield f"- {text(label)}: {text(value)}"
