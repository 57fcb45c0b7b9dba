"""What cures did, in words: a line for the failure message, and the whole list for whoever asks for it.

Only what was measured to help is called measured; advice that nobody has tried keeps its own label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradcheck_health.formats._text import escape, wrap
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.remedies import NO_HELP, NOT_MEASURED, RAISED, TRAINS, RemedyTrial, ShortRun
from gradcheck_health.records.report import Report
from gradcheck_health.records.wording import counted

SHOWN = 2
"""Suggestions in a failure message."""
_SAME = 0.005
"""Share of the FLOPs that is no difference."""
ADVICE = "advice"
"""The label of help that was not tried, where other help was."""


def trials_of(report: Report, finding: Finding) -> list[RemedyTrial]:
    """What was tried for a finding, the best first."""
    return [trial for trial in report.remedies if finding in report.findings[trial.finding : trial.finding + 1]]


def details(report: Report, finding: Finding) -> tuple[tuple[str, str], ...]:
    """The labelled lines of a finding: where cures were tried, what was measured goes before advice that was not tried."""
    said = measured(report, finding)
    if not said:
        return finding.details
    kept = [(label, text) for label, text in finding.details if label != "help"]
    untried = [(ADVICE, f"not tried: {text}") for label, text in finding.details if label == "help"]
    return (*kept, ("measured", said), *untried)


def measured(report: Report, finding: Finding) -> str:
    """`drop-factor: 6.6e-08 -> 0.072; layer-norm: 6.6e-08 -> 0.5 (each tried and undone)`; "" where nothing was tried."""
    trials = trials_of(report, finding)
    if not trials:
        return ""
    good = [trial for trial in trials if trial.helps][:SHOWN]
    if not good:
        return f"none of {counted(len(trials), 'cure')} that were tried helps"
    undone = "tried and undone" if len(good) == 1 else "each tried and undone"
    return f"{'; '.join(map(in_short, good))} ({undone})"


def in_short(trial: RemedyTrial) -> str:
    """`guard: 3 -> 0, then zero-gradient comes to light`."""
    text = f"{trial.remedy}: {values(trial)}" if values(trial) else trial.remedy
    return text + (f", then {what}" if (what := behind(trial)) else "")


def values(trial: RemedyTrial) -> str:
    """`3.1e-12 -> 0.64`, or "" where the rule has no measure of a model that is sound."""
    if trial.before is None or trial.after is None:
        return ""
    return f"{trial.before:.2g} -> {trial.after:.2g}"


def behind(trial: RemedyTrial) -> str:
    """What is not well under the cure: "zero-gradient comes to light, dead-unit stays"."""
    revealed, left = ", ".join(trial.revealed), ", ".join(one for one in trial.left if one != trial.rule)
    parts = [f"{revealed} {'comes' if len(trial.revealed) == 1 else 'come'} to light"] if revealed else []
    return escape(", ".join(parts + ([f"{left} stays"] if left else [])))


def lines(report: Report, width: int) -> Iterator[str]:
    """Everything that was tried, finding by finding: what helps with the change to make, then what does not."""
    if not report.remedies:
        yield "nothing sick: no cure was tried" if report.ok else "no cure was tried"
        return
    for finding in report.findings:
        trials = trials_of(report, finding)
        if trials:
            yield from _of_finding(report, finding, trials, width)


def _of_finding(report: Report, finding: Finding, trials: Sequence[RemedyTrial], width: int) -> Iterator[str]:
    good = [trial for trial in trials if trial.helps]
    help_ = "helps" if len(good) == 1 else "help"
    yield from wrap(f"{escape(finding.rule)}: {len(good)} of {counted(len(trials), 'cure')} {help_}", width)
    for trial in good:
        yield from _suggestion(report, trial, width)
    for outcome, title in ((NO_HELP, "no help"), (NOT_MEASURED, "not measured"), (RAISED, "raised")):
        others = [trial for trial in trials if trial.outcome == outcome]
        if others:
            named = _by_reason(others) if outcome == NOT_MEASURED else [_named(trial) for trial in others]
            yield from wrap("; ".join(named), width, first=f"  {title + ':':14}", hang=16)


def _suggestion(report: Report, trial: RemedyTrial, width: int) -> Iterator[str]:
    if trial.outcome == TRAINS:
        yield from wrap(f"{trial.remedy}: {escape(trial.why)}", width, first="  ", hang=6)
        yield from wrap(escape(trial.change), width, first="      change    ", hang=16)
        return
    measures = [values(trial)] if values(trial) else []
    verdict = ["the finding is gone", behind(trial)] if behind(trial) else ["sound"]
    yield from wrap(f"{trial.remedy}: {'; '.join([*measures, *verdict])}", width, first="  ", hang=6)
    yield from wrap(escape(trial.change), width, first="      change    ", hang=16)
    if trial.source:
        yield from wrap(escape(trial.source), width, first="      at        ", hang=16)
    if spent := cost(trial):
        yield from wrap(spent, width, first="      cost      ", hang=16)
    if run := _run(trial, report.run):
        yield from wrap(run, width, first="      run       ", hang=16)


def cost(trial: RemedyTrial) -> str:
    """`128 parameters more, 4 x the FLOPs`; "" where it costs nothing."""
    parts = [f"{counted(trial.parameters, 'parameter')} more"] if trial.parameters else []
    if trial.flops is not None and abs(trial.flops - 1) > _SAME:
        parts.append(f"{trial.flops:.3g} x the FLOPs")
    return ", ".join(parts)


def _by_reason(trials: Sequence[RemedyTrial]) -> list[str]:
    """`elu-and-he, silu-and-he (five others looked better)`: a reason stands once."""
    reasons = dict.fromkeys(trial.why for trial in trials)
    return [f"{', '.join(one.remedy for one in trials if one.why == why)} ({escape(why)})" for why in reasons]


def _named(trial: RemedyTrial) -> str:
    """`silu-and-he (1e-12 -> 1e-9)`, or with the reason."""
    why = escape(trial.why) or values(trial)
    return f"{trial.remedy} ({why})" if why else trial.remedy


def _run(trial: RemedyTrial, plain: ShortRun | None) -> str:
    run = trial.run
    if run is None:
        return ""
    how = f"{counted(run.steps, 'step')} of {run.optimizer} at {run.lr:g} towards {run.towards}"
    return (
        f"{how}: {run.first:.3g} -> {run.last:.3g}, without it {plain.last:.3g}"
        if plain
        else f"{how}: {run.first:.3g} -> {run.last:.3g}"
    )
