"""A rule fires on the one side of its bound and not on the other, for the very number that its finding reports."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import pytest
import torch

from gradcheck_health import Finding, Need, Severity, Trace, check_gradients, rules
from tests.rules.test_every_rule import module_of

BOUNDS = {
    "dead-unit": ("max_fraction", "above"),
    "exploding-gradient": ("max_ratio", "above"),
    "exploding-through-time": ("max_ratio", "above"),
    "future-leak": ("max_influence", "above"),
    "half-precision-underflow": ("max_share", "above"),
    "high-initial-loss": ("max_ratio", "above"),
    "mixed-samples": ("max_influence", "above"),
    "saturated-activation": ("max_fraction", "above"),
    "unbalanced-gradient": ("max_ratio", "above"),
    "vanishing-gradient": ("min_ratio", "below"),
    "vanishing-through-time": ("min_ratio", "below"),
    "wrong-backward": ("max_error", "above"),
}
"""rule -> the option that is its bound, and on which side of it the sick lie."""

CONFIRMED = {"exploding-gradient": 10.0, "saturated-activation": 1.5, "vanishing-gradient": 10.0}
"""How far below its number the bound has to lie where the number is the first of several that have to be beyond it."""


@cache
def sick_trace(name: str) -> Trace:
    """With every fact that the rule asked for."""
    torch.manual_seed(0)
    return check_gradients(module_of(name).sick(), select=[name]).trace


def asked(name: str, trace: Trace, **options: Any) -> tuple[list[Finding], list[str]]:
    """Findings, and the facts that the rule needs beside."""
    answers = list(rules.builtin()[name](trace, **options))
    needs = [answer.fact for answer in answers if isinstance(answer, Need)]
    return [answer for answer in answers if isinstance(answer, Finding)], needs


@pytest.mark.parametrize("name", BOUNDS)
def test_the_finding_says_the_number_and_the_bound(name: str) -> None:
    option, side = BOUNDS[name]
    (finding, *_), needs = asked(name, sick_trace(name))
    assert needs == []
    assert finding.got is not None and finding.bound is not None
    assert (finding.got > finding.bound) is (side == "above")


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_beyond_the_number_is_kept(name: str) -> None:
    option, side = BOUNDS[name]
    trace = sick_trace(name)
    numbers = [finding.got for finding in asked(name, trace)[0] if finding.got is not None]
    beyond = max(numbers) * 1.5 if side == "above" else min(numbers) / 1.5
    if option in ("max_fraction", "max_share"):
        beyond = min(beyond, 1.0)
    findings, needs = asked(name, trace, **{option: beyond})
    assert needs == []
    assert {finding.severity for finding in findings} <= {Severity.NOTE}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_short_of_the_number_is_crossed(name: str) -> None:
    option, side = BOUNDS[name]
    trace = sick_trace(name)
    got = asked(name, trace)[0][0].got
    assert got is not None
    room = CONFIRMED.get(name, 1.02)
    short = got / room if side == "above" else got * room
    findings, needs = asked(name, trace, **{option: short})
    assert findings or needs
    for finding in findings:
        assert finding.bound == pytest.approx(short)


@pytest.mark.slow
@pytest.mark.parametrize("name", rules.names())
def test_without_the_facts_a_rule_asks_before_it_accuses(name: str) -> None:
    """An error is a suspicion that was confirmed: where facts were taken, none is reported without them."""
    trace = sick_trace(name)
    bare = dataclasses.replace(trace, facts={})
    findings, needs = asked(name, bare)
    assert set(needs) <= set(trace.facts)
    if trace.facts:
        assert needs
        assert not [finding for finding in findings if finding.severity is Severity.ERROR and finding in asked(name, trace)[0]]


@pytest.mark.parametrize("name", rules.names())
def test_every_fact_that_was_taken_is_asked_for(name: str) -> None:
    """One after the other, until nothing more is wanted."""
    trace = sick_trace(name)
    held: dict[str, Any] = {}
    for _ in range(len(trace.facts) + 1):
        findings, needs = asked(name, dataclasses.replace(trace, facts=held))
        missing = [fact for fact in needs if fact not in held]
        if not missing:
            break
        held |= {fact: trace.facts[fact] for fact in missing}
    assert set(held) == set(trace.facts)
    assert findings == asked(name, trace)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", rules.names())
def test_a_healthy_trace_is_silent_and_asks_for_no_more(name: str) -> None:
    torch.manual_seed(0)
    trace = check_gradients(module_of(name).healthy(), select=[name]).trace
    assert asked(name, trace) == ([], [])
