"""Probe a model, ask the rules, take the facts that they need, and ask again: the loop behind every check."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradcheck_health import rules as rule_files
from gradcheck_health.check import comments
from gradcheck_health.check.budget import Budget, unconfirmed
from gradcheck_health.check.distributed.agree import shared_findings, shared_needs
from gradcheck_health.check.gate import Gate
from gradcheck_health.check.root_causes import ask, root_causes
from gradcheck_health.check.suppressions import accept
from gradcheck_health.model.distributed.ranks import on_any_rank
from gradcheck_health.model.source.locate import marked_code, with_source_lines
from gradcheck_health.probe import SHOWN_BY, can_be_taken, described, probe, take
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.finding import Finding, worst_first
from gradcheck_health.records.report import Report
from gradcheck_health.records.severed import unexplained
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules import presets, saved
from gradcheck_health.settings.config import Config

ROUNDS_OF_NEEDS = 12
"""How often rules may ask for more: two rounds are normal, four are rare."""

Rules = Mapping[str, Callable[..., Any]]


def diagnose(
    subject: Subject,
    environment: Mapping[str, str],
    rules: Rules,
    settings: Config,
    gate: Gate | None = None,
    *,
    facts: Sequence[str] = (),
    target: str | None = None,
) -> Report:
    """The verdict of these rules on a subject that is ready to be probed.

    Args:
        gate: the baseline that the model is compared with.
        facts: measured whether or not a rule asks for them.
        target: how the user named the model.
    """
    ignore = settings.ignore if gate is None else gate.ignore(settings)

    def accepted(findings: list[Finding]) -> list[Finding]:
        findings, _ = _in_the_code(findings, subject.model, rules, settings) if findings else (findings, ())
        return accept(findings, {**ignore, **(settings.expect or {})}, ())[0]

    proofs = {"mixed-samples": "apart", "future-leak": "in order"}
    trace = probe(subject, prove=[proof for rule, proof in proofs.items() if rule in rules])
    if subject.take_steps is not None:
        trace = dataclasses.replace(trace, steps=subject.take_steps(subject, 1, trace))
    if subject.train is not None:
        trace = dataclasses.replace(trace, history=subject.train(subject))
    if trace.loss is None:
        trace = dataclasses.replace(trace, gaps=(*trace.gaps, *subject.unseen))
    if gate is not None:
        trace = gate.beside(trace, environment)
    budget = Budget(settings.fact_budget, subject.inputs)
    for _ in range(ROUNDS_OF_NEEDS):
        findings, needs, ran = ask(rules, settings.rules, trace, accepted)
        needs += [fact for fact in facts if fact not in needs and _lacks(trace, fact)]
        needs = shared_needs(needs)
        needs = [fact for fact in needs if SHOWN_BY.get(fact) not in needs]
        cut_off = bool(needs) and on_any_rank(budget.spent)
        if cut_off or not needs:
            break
        trace = _with_facts(trace, subject, needs, budget)
    else:
        findings, needs, ran = ask(rules, settings.rules, trace, accepted)
    if cut_off:
        findings, ran = unconfirmed(rules, settings.rules, trace, budget), tuple(rules)
        lacking = [f"not measured (cost): {described(fact)} ({fact})" for fact in facts if _lacks(trace, fact)]
        trace = dataclasses.replace(trace, gaps=(*trace.gaps, *lacking))
    findings, stale = _in_the_code(shared_findings(findings, subject.model), subject.model, rules, settings)
    report = _concluded(trace, environment, rules, settings, gate, ignore, findings, ran, stale, target)
    return dataclasses.replace(report, inputs=subject.inputs.alone())


def _with_facts(trace: Trace, subject: Subject, needs: Sequence[str], budget: Budget) -> Trace:
    bare = dataclasses.replace(trace, reference=None)  # a fact that hands back a trace need not repeat it
    taken = {}
    for fact in needs:
        if not on_any_rank(budget.spent):
            with budget.paying(fact):
                taken[fact] = take(fact, subject, bare)
    gaps = tuple(
        f"not measured, {'since the model did not run for it' if can_be_taken(fact, subject.model) else 'in a pipeline'}: "
        f"{described(fact)} ({fact})"
        for fact, measured in taken.items()
        if not measured
    )
    known = unexplained(trace.starved) if any(one.severed for one in taken.get("severed", ())) else ()
    kept = tuple(gap for gap in trace.gaps if gap not in known)
    return dataclasses.replace(trace, facts={**trace.facts, **taken}, gaps=(*kept, *gaps))


def _lacks(trace: Trace, fact: str) -> bool:
    """A fact is not there, or not for every seed yet."""
    measured = trace.facts.get(fact)
    return measured is None or (fact == "reseeded" and 0 < len(measured) < trace.rounds - 1)


def _concluded(
    trace: Trace,
    environment: Mapping[str, str],
    rules: Rules,
    settings: Config,
    gate: Gate | None,
    ignore: Mapping[str, str],
    findings: list[Finding],
    ran: tuple[str, ...],
    stale: tuple[str, ...],
    target: str | None,
) -> Report:
    """Findings that the user accepted are marked, consequences of a cause are left out, the worst comes first."""
    marked, unmatched = accept(findings, ignore, ran, settings.expect)
    ordered = worst_first(root_causes(marked))
    unmatched, gone = (unmatched, ()) if gate is None else gate.split(unmatched, settings)
    return Report(
        model=trace.model,
        target=target,
        findings=ordered,
        trace=trace,
        rules=ran,
        seed=settings.seed,
        rounds=1 + len(trace.facts.get("reseeded", ())),
        fail_on=settings.fail_on,
        unmatched=(*unmatched, *stale),
        limits=rule_files.flow_limits(rules, settings.rules, trace),
        environment=environment,
        change=None if gate is None else gate.change(trace, environment, ordered, gone),
    )


def _in_the_code(findings: list[Finding], model: Any, rules: Rules, settings: Config) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings with the lines of their places, accepted where a comment says so, and the comments that match nothing."""
    code = [comments.Code(*file) for file in marked_code(model, comments.MARK)]
    # also the rules that this run does not select
    known = {*presets.every(), *saved.every(), *rule_files.load(settings.extra_rules)} if code else ()
    marks = comments.comments(code, known)
    return comments.silence(with_source_lines(findings, model), marks, rules)
