"""Try cures: each in place inside the sandbox, a first look at all of them, a whole check of the best, a ranking.

The sick measure gates and the forward signal ranks: ReLU without its initialisation has a fine ratio and a constant output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gradcheck_health.check.diagnose import Rules, diagnose
from gradcheck_health.check.gate import Gate
from gradcheck_health.check.remedies.apply import apply, under, with_loss
from gradcheck_health.check.remedies.budget import SPENT, Budget
from gradcheck_health.check.remedies.catalogue import Remedy, remedies
from gradcheck_health.check.remedies.cost import operations
from gradcheck_health.check.remedies.edit import NotMeasuredError
from gradcheck_health.check.remedies.measure import measure, promising, signal
from gradcheck_health.check.remedies.operations import survey
from gradcheck_health.check.remedies.output import Output, output_of
from gradcheck_health.check.remedies.patient import Change, Patient
from gradcheck_health.check.remedies.runs import RANK, plain_run, with_runs
from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe import probe, take
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import UsageError, describe_error, did_you_mean
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.remedies import GONE, NO_HELP, NOT_MEASURED, RAISED, SOUND, RemedyTrial, ShortRun
from gradcheck_health.records.report import Report
from gradcheck_health.records.trace import Trace
from gradcheck_health.settings.config import Config

_LAST = 1e3
"""Added to the score of a cure that gives up what is sick."""
CHECKED = 5
"""Cures of a finding that are checked whole; the others have had a first look."""
FINDINGS = 3
"""Findings that cures are tried for, the worst first."""


@dataclass(frozen=True, slots=True)
class _Screened:
    """A cure after its first look."""

    name: str
    remedy: Remedy
    change: Change
    hopeful: bool
    score: float
    after: float | None


@dataclass(frozen=True, slots=True)
class Clinic:
    """What a whole check takes beside the model."""

    environment: Mapping[str, str]
    rules: Rules
    settings: Config
    budget: Budget

    @classmethod
    def of(cls, environment: Mapping[str, str], rules: Rules, settings: Config, gate: Gate | None, seconds: float) -> Clinic:
        """What the user, or a baseline, accepts is no ill left behind under a cure.

        Args:
            seconds: of processor time that the check without a cure took.
        """
        accepted = {**(settings.ignore if gate is None else gate.ignore(settings)), **(settings.expect or {})}
        return cls(environment, rules, dataclasses.replace(settings, ignore=accepted, expect={}), Budget.of(seconds))


def try_remedies(subject: Subject, report: Report, clinic: Clinic) -> Report:
    """The report with what was tried for its findings. Call it where the subject was checked; the model comes back as it was.

    Raises:
        UsageError: no remedy has one of the names that were asked for.
    """
    only = clinic.settings.only_remedies
    for name in only:
        if name not in remedies():
            raise UsageError(f"no remedy is called {name!r}{did_you_mean(name, remedies())}; there are {', '.join(remedies())}")
    sick = [i for i, one in enumerate(report.findings) if one.suppressed is None and one.severity is not Severity.NOTE]
    chosen = {name: remedy for name, remedy in remedies().items() if not only or name in only}
    found: list[RemedyTrial] = []
    plain = plain_run(subject, clinic.settings) if sick else None
    for position in sick[:FINDINGS]:
        found += _for_finding(subject, report, position, clinic, chosen, plain)
    return dataclasses.replace(report, remedies=tuple(found), run=plain)


def _for_finding(
    subject: Subject,
    report: Report,
    position: int,
    clinic: Clinic,
    chosen: Mapping[str, Remedy],
    plain: ShortRun | None,
) -> list[RemedyTrial]:
    finding = report.findings[position]
    with sandbox(subject.model, process=False):
        patient = Patient(subject, report.trace, survey(subject), _cost(subject))
    screened, trials = _screened(patient, finding, position, chosen, clinic.budget.half())
    settled, longest = False, 0.0
    for i, one in enumerate(screened):
        base = RemedyTrial(
            one.name, finding.rule, position, NO_HELP, one.change.what, finding.places[0].source if finding.places else None,
            one.change.names, finding.got, one.after, parameters=one.change.parameters,
        )  # fmt: skip
        if not one.hopeful:
            trials.append((1e6 + one.score, base))
        elif i >= CHECKED or settled or (i and not clinic.budget.allows(longest)):
            why = "the operation itself is cured already" if settled else "five others looked better" if i >= CHECKED else SPENT
            trials.append((1e6 + one.score, dataclasses.replace(base, outcome=NOT_MEASURED, why=why)))
        else:
            begun = time.process_time()
            trials.append(_checked(base, one, patient, finding, report, clinic))
            longest = max(longest, time.process_time() - begun)
            settled = one.change.direct and trials[-1][1].outcome == SOUND
    trials.sort(key=lambda pair: (RANK[pair[1].outcome], pair[0]))
    ordered = [trial for _, trial in trials]
    return with_runs(ordered, patient, finding, chosen, clinic.settings, plain) if plain is not None else ordered


def _screened(
    patient: Patient, finding: Finding, position: int, chosen: Mapping[str, Remedy], budget: Budget
) -> tuple[list[_Screened], list[tuple[float, RemedyTrial]]]:
    """The cures that apply after a first look at each, the best first; and what cannot be tried, or not in time."""
    screened: list[_Screened] = []
    out: list[tuple[float, RemedyTrial]] = []
    longest = 0.0
    for name, remedy in chosen.items():
        base = RemedyTrial(name, finding.rule, position, NOT_MEASURED, before=finding.got)
        begun = time.process_time()
        if not budget.allows(longest):
            out.append((1e8, dataclasses.replace(base, why=SPENT)))
            continue
        try:
            with jointly("a remedy"), sandbox(patient.model, process=False):
                seen = _first_look(name, remedy, patient, finding)
        except Exception as error:  # noqa: BLE001 - the user's model under a change that it was not written for
            out.append((1e9, _failed(base, error)))
            continue
        if seen is not None:
            screened.append(seen)
        longest = max(longest, time.process_time() - begun)
    return sorted(screened, key=lambda one: (not one.hopeful, not one.change.direct, one.score)), out


def _cost(subject: Subject) -> int | None:
    with contextlib.suppress(Exception):  # it is counted for information only
        return operations(subject)
    return None


def _first_look(name: str, remedy: Remedy, patient: Patient, finding: Finding) -> _Screened | None:
    """One forward and one backward pass under the cure; None where it does not apply."""
    change = apply(remedy, patient, finding)
    if change is None:
        return None
    subject = with_loss(patient.subject, change)
    trace = probe(subject)
    if finding.rule.endswith("-through-time"):
        trace = dataclasses.replace(trace, facts={"time_profile": take("time_profile", subject, trace)})
    output = output_of(patient, trace)
    score = signal(finding, trace, output.variation, output.rms)
    return _Screened(
        name, remedy, change, promising(finding, trace, waking=change.parameters > 0), score, measure(finding, trace)
    )


def _checked(
    base: RemedyTrial, one: _Screened, patient: Patient, finding: Finding, report: Report, clinic: Clinic
) -> tuple[float, RemedyTrial]:
    """The whole check under a cure, and the score of what it leaves."""
    try:
        with jointly("a remedy"), sandbox(patient.model, process=False):
            subject = under(one.remedy, patient, finding, apply(one.remedy, patient, finding))
            after = diagnose(subject, clinic.environment, clinic.rules, clinic.settings)
            output = output_of(patient, after.trace)
            cost = _cost(subject)
    except Exception as error:  # noqa: BLE001 - as above
        return 1e9, _failed(base, error)
    base = dataclasses.replace(base, flops=cost / patient.flops if cost and patient.flops else None)
    score = signal(finding, after.trace, output.variation, output.rms) + _LAST * one.change.last_resort
    return score, _judged(base, finding, report, after, output)


def _judged(base: RemedyTrial, finding: Finding, report: Report, after: Report, output: Output) -> RemedyTrial:
    left = [one for one in after.active if one.severity is not Severity.NOTE]
    before = {one.rule for one in report.active if one.severity is not Severity.NOTE}
    still = next((one for one in left if one.rule == finding.rule), None)
    return dataclasses.replace(
        base,
        outcome=NO_HELP if still is not None else GONE if left else SOUND,
        after=still.got if still is not None else _quiet(finding, after.trace),
        left=tuple(dict.fromkeys(one.rule for one in left if one.rule in before)),
        revealed=tuple(dict.fromkeys(one.rule for one in left if one.rule not in before)),
        variation=output.variation,
        output=output.rms,
    )


def _quiet(finding: Finding, trace: Trace) -> float | None:
    return measure(finding, trace)


def _failed(base: RemedyTrial, error: Exception) -> RemedyTrial:
    if isinstance(error, NotMeasuredError):
        return dataclasses.replace(base, outcome=NOT_MEASURED, why=str(error))
    return dataclasses.replace(base, outcome=RAISED, why=describe_error(error).partition("\n")[0])
