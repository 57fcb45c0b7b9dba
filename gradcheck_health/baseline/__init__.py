"""A baseline: the findings that the user accepted, and the flow profile, of one model in one file that can be reviewed."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gradcheck_health.baseline.bounds import Bound
from gradcheck_health.baseline.commands import TWICE, command
from gradcheck_health.baseline.compare import compare
from gradcheck_health.baseline.profile_of import profile_of
from gradcheck_health.records.change import Change, Entry
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Finding, Severity, common_pattern
from gradcheck_health.records.profile import Profile
from gradcheck_health.records.report import Report
from gradcheck_health.records.trace import Trace

__all__ = ["NO_REASON", "RULE", "TWICE", "Baseline", "change", "command", "comparable", "entries", "gone", "of", "pruned"]

NO_REASON = "was there when the baseline was written"
RULE = "regressed-gradient"
_MANY = 12


@dataclass(frozen=True, slots=True)
class Baseline:
    """What one file holds."""

    target: str
    """What it is the baseline of: "model.py:Net", or the name of a test."""
    model: str
    environment: Mapping[str, str]
    """gradcheck-health, torch, device, dtype, mode."""
    inputs: str
    objective: str
    rules: tuple[str, ...]
    """The rules that ran when it was written: findings of others could not be accepted."""
    profile: Profile
    accepted: Mapping[str, str] = field(default_factory=dict)
    """"rule" or "rule:name-pattern" -> reason, as in `ignore`."""
    path: str = ""
    """The file, as a user would name it."""

    @property
    def fingerprint(self) -> str:
        """Of the architecture: names, classes and shapes."""
        layers = [[level.name, level.kind] for level in self.profile.levels]
        text = json.dumps([layers, sorted(self.profile.parameters.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def of(report: Report, reason: str = NO_REASON, before: Baseline | None = None, target: str | None = None) -> Baseline:
    """The baseline that makes a report pass: its errors and warnings are accepted.

    Args:
        before: an older baseline, whose reasons are kept for what is still found; the report has to come from a check in which
            it accepted its findings.
        target: what it is the baseline of; the target of the report where None.
    """
    kept = {} if before is None else pruned(before, report).accepted
    fresh = {entry.key: reason for entry in entries(report.active)}
    environment = {key: report.environment[key] for key in sorted(report.environment) if key != "python"}
    return Baseline(
        target=report.target or "" if target is None else target,
        model=report.model,
        environment=environment,
        inputs=report.trace.inputs.description,
        objective=report.trace.objective,
        rules=tuple(rule for rule in report.rules if rule != RULE),
        profile=profile_of(report.trace),
        accepted={**kept, **fresh},
    )


def pruned(before: Baseline, report: Report) -> Baseline:
    """The baseline without the accepted findings that nothing in the report matches any more."""
    gone = {entry.key for entry in report.change.gone} if report.change is not None else set(report.unmatched)
    return dataclasses.replace(before, accepted={key: text for key, text in before.accepted.items() if key not in gone})


def entries(findings: Iterable[Finding]) -> tuple[Entry, ...]:
    """The logical names of errors and warnings, worst first, each once; a change of flow is no property of a model."""
    found: dict[str, Entry] = {}
    for finding in findings:
        if finding.severity is Severity.NOTE or finding.rule == RULE:
            continue
        names = [glob.escape(name) for name in dict.fromkeys(finding.names)]
        if len(names) > _MANY:
            names = [common_pattern([place.name for place in finding.places])]
        if "" in names or not names:  # the model itself has no name that a pattern could stand for
            names = [""]
        for name in names:
            entry = Entry(finding.rule, name, finding.message)
            found.setdefault(entry.key, entry)
    return tuple(found.values())


def gone(before: Mapping[str, str], keys: Iterable[str]) -> tuple[Entry, ...]:
    """Accepted findings that nothing matches any more, with their reasons."""
    wanted = set(keys)
    return tuple(Entry(key.partition(":")[0], key.partition(":")[2], reason) for key, reason in before.items() if key in wanted)


def change(
    before: Baseline,
    now: Profile,
    bounds: Sequence[Bound],
    new: Sequence[Entry] = (),
    missing: Sequence[Entry] = (),
    notes: Sequence[str] = (),
) -> Change:
    """What is different from a baseline.

    Args:
        now: the profile of the model as it is.
        bounds: what the gate fails on.
        new, missing: findings that only the model, or only the baseline has.
        notes: what limits the comparison, beside what the profiles say.
    """
    shifts, aligned, more = compare(before.profile, now, bounds)
    return Change(
        against=before.path,
        target=before.target,
        shifts=tuple(shifts),
        new=tuple(new),
        gone=tuple(missing),
        structure=aligned.structure,
        compared=len(aligned.levels),
        notes=(*notes, *more),
    )


def comparable(before: Baseline, environment: Mapping[str, str], trace: Trace) -> list[str]:
    """What limits the comparison with a run under these conditions, each one sentence.

    Raises:
        UsageError: the two were measured so differently that a difference would say nothing about the model.
    """
    remedy = f"write it again with `{command('update', before.target)}`"
    for key, option in (("device", "--device"), ("dtype", "--dtype"), ("mode", "")):
        was, got = before.environment.get(key), environment.get(key)
        if was and got and was != got:
            again = f", or run with {option} {was}" if option else ""
            raise UsageError(f"baseline {before.path}: {key}: was written for {was}, got {got}: {remedy}{again}")
    tool, ours = before.environment.get("gradcheck-health", ""), environment.get("gradcheck-health", "")
    if tool and ours and _series(tool) != _series(ours):
        raise UsageError(
            f"baseline {before.path}: was written by gradcheck-health {tool}, got {ours}, which may measure "
            f"differently: {remedy}"
        )
    if before.objective != trace.objective:
        raise UsageError(
            f"baseline {before.path}: objective: was {before.objective!r}, got {trace.objective!r}: give the same loss, "
            f"or {remedy}"
        )
    notes = []
    if before.model != trace.model:
        notes.append(f"the model is a {trace.model}, and was a {before.model}")
    if before.inputs != trace.inputs.description:
        notes.append(f"the inputs are {trace.inputs.description}, and were {before.inputs}")
    was, got = before.environment.get("torch", ""), environment.get("torch", "")
    if was and got and was != got:
        notes.append(f"this is torch {got}, and it was {was}")
    return notes


def _series(version: str) -> tuple[str, ...]:
    """The part of a version within which measurements mean the same: 0.1 of 0.1.2, 1 of 1.4."""
    parts = version.split(".")
    return tuple(parts[: 2 if parts[0] == "0" else 1])
