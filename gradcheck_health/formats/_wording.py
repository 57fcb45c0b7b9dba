"""Phrases that several formats share: places, one-line findings, and the commands that repeat a check or accept a finding."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from itertools import groupby

from gradcheck_health.baseline.commands import command
from gradcheck_health.formats._text import escape, quoted, shorten
from gradcheck_health.records.finding import Finding, Place, Severity, common_pattern
from gradcheck_health.records.report import Report

MAX_NAMES = 4
_LAUNCHED = " -m gradcheck_health "
"""In a command that torchrun starts."""


def places(found: Sequence[Place], limit: int = 60) -> str:
    """`aux.weight, aux.bias (Linear, never called), model.py:23; and 3 more`: at most four names, like ones together."""
    groups = []
    for (kind, source), same in groupby(found[:MAX_NAMES], key=lambda place: (place.kind, place.source)):
        group = list(same)
        names = ", ".join(shorten(escape(place.name), limit) or "the model itself" for place in group)
        inside = ", ".join(escape(part) for part in dict.fromkeys([kind, *(place.note for place in group)]) if part)
        groups.append(names + (f" ({inside})" if inside else "") + (f", {escape(source)}" if source else ""))
    more = len(found) - MAX_NAMES
    return "; ".join(groups) + (f"; and {more} more" if more > 0 else "")


def one_line(finding: Finding) -> str:
    """`rule: message at place`, for a warning or an annotation."""
    where = f" at {places(finding.places)}" if finding.places else ""
    return f"{escape(finding.rule)}: {escape(finding.message)}{where}"


def typed(report: Report) -> bool:
    """It was made by a command that was typed."""
    return report.repeat.startswith("gradhealth ") or _LAUNCHED in report.repeat


def repeat_command(report: Report) -> str:
    """What makes the report again."""
    if report.repeat:
        return escape(report.repeat)
    if report.target is None:
        return f"check_gradients(model, seed={report.seed})"
    weights = {name: value for name, value in report.environment.items() if name.startswith("checkpoint")}
    more = "".join(f" --{name} {quoted(value)}" for name, value in weights.items())
    return f"gradhealth check {quoted(report.target)} --seed {report.seed}{more}"


def accept_command(report: Report, finding: Finding) -> str:
    """What accepts a finding, or all that a report fails with where it was compared with a baseline."""
    if report.change is not None and report.change.target:
        again = command("update", escape(report.change.target))
        before, launched, rest = report.repeat.partition(_LAUNCHED)
        if again.startswith("gradhealth ") and typed(report):
            again = f"{before}{launched}{again.removeprefix('gradhealth ')}" if launched else again
            _, *options = re.split(r" (?=--[a-z])", rest or before)
            again += "".join(f" {escape(one)}" for one in options if not one.startswith(("--fail-on", "--fail-if")))
        return again
    key = accept_key(finding)
    if typed(report):
        return f"--ignore {quoted(f'{key}=the reason')}"
    return f"ignore={{{key!a}: 'the reason'}}"


def accept_key(finding: Finding) -> str:
    """The narrowest ignore key that still covers the whole finding."""
    names = finding.names
    pattern = glob.escape(names[0]) if len(set(names)) == 1 else common_pattern(names) if all(names) and names else ""
    return f"{finding.rule}:{pattern}" if pattern else finding.rule


def worth_showing(report: Report) -> list[Finding]:
    """Active findings that are more than a note, and whatever fails; worst first."""
    return [finding for finding in report.active if is_worth_showing(finding, report)]


def is_worth_showing(finding: Finding, report: Report) -> bool:
    """Whether nobody accepted the finding, and it is more than a note or fails."""
    return report.fails(finding) or finding.suppressed is None and finding.severity is not Severity.NOTE
