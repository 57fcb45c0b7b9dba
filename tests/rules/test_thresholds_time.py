"""The rules on recurrences, on profiles that are powers of a factor: where their bounds are, and what they say on each side."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradcheck_health import Finding, Trace
from gradcheck_health.records.evidence import TimeProfile
from gradcheck_health.rules.analysis import recurrence
from tests.support.made_traces import heard, severities, trace

VANISHING, EXPLODING = "vanishing-through-time", "exploding-through-time"


def profile(*norms: float, **parts: Any) -> TimeProfile:
    return TimeProfile(**{"layer": "rnn", "kind": "RNN", "norms": norms, "width": 64, **parts})


def powers(factor: float, steps: int = 24, **parts: Any) -> TimeProfile:
    """Each step back multiplies the norm by `factor`."""
    return profile(*(factor ** (steps - t) for t in range(steps + 1)), **parts)


def seen(*profiles: TimeProfile, detailed: bool = True) -> Trace:
    facts = {"time_profile": (trace(times=profiles),)}
    return trace(facts={**facts, "detailed": (trace(),)} if detailed else facts)


def only(rule: str, one: TimeProfile, **options: Any) -> Finding:
    (found,), needs = heard(rule, seen(one), **options)
    assert needs == []
    return found


@pytest.mark.parametrize(
    ("after_twenty", "said"),
    [(0.98e-12, ["error"]), (1.02e-12, ["note"]), (0.98e-8, ["note"]), (1.02e-8, [])],
)
def test_default_bounds_over_twenty_steps(after_twenty: float, said: list[str]) -> None:
    assert severities(VANISHING, seen(powers(after_twenty ** (1 / 20)))) == said


@pytest.mark.parametrize(("horizon", "ratio", "said"), [(40, 0.98e-8, ["error"]), (40, 1.02e-8, []), (7, 0.98e-8, ["error"])])
def test_bound_over_a_horizon_that_the_user_names(horizon: int, ratio: float, said: list[str]) -> None:
    assert severities(VANISHING, seen(powers(ratio ** (1 / horizon))), horizon=horizon) == said


@pytest.mark.parametrize(("ratio", "said"), [(0.98e-3, ["error"]), (1.02e-3, [])])
def test_own_bound_replaces_both(ratio: float, said: list[str]) -> None:
    assert severities(VANISHING, seen(powers(ratio ** (1 / 20), width=2)), min_ratio=1e-3) == said


def test_what_is_kept_exactly_is_allowed() -> None:
    one = powers(0.5)
    kept = recurrence.ratio(one, 20)
    assert severities(VANISHING, seen(one), min_ratio=kept) == []
    assert severities(VANISHING, seen(one), min_ratio=kept * 1.0001) == ["error"]
    grown = powers(2.0)
    most = recurrence.ratio(grown, 24)
    assert most == 2.0**24
    assert severities(EXPLODING, seen(grown), max_ratio=most) == []
    assert severities(EXPLODING, seen(grown), max_ratio=most * 0.9999) == ["error"]


@pytest.mark.parametrize(("width", "said"), [(7, "note"), (1, "note"), (8, "error"), (0, "error")])
def test_narrow_states_are_a_note(width: int, said: str) -> None:
    found = only(VANISHING, powers(0.1, width=width))
    assert str(found.severity) == said
    assert (f"only {width} units" in str(found.details)) is (said == "note")


@pytest.mark.parametrize(("steps", "said"), [(9, "note"), (10, "error")])
def test_few_steps_are_a_note(steps: int, said: str) -> None:
    found = only(VANISHING, powers(0.1, steps))
    assert str(found.severity) == said
    assert (f"only {steps + 1} steps were fed" in str(found.details)) is (said == "note")


@pytest.mark.parametrize(("steps", "carried"), [(19, ", carried on from 19 steps"), (20, ""), (24, "")])
def test_what_was_measured_is_said(steps: int, carried: str) -> None:
    found = only(VANISHING, powers(0.1, steps, stretched=0))
    assert dict(found.details)["measured"] == f"the loss on the last of {steps + 1} steps{carried}"
    assert found.got == pytest.approx(1e-20)
    again = only(VANISHING, powers(0.1, 24, stretched=9))
    assert dict(again.details)["measured"].endswith("; the input of 9 steps was repeated")


def test_short_memory_is_said_to_be_no_sickness_yet() -> None:
    found = only(VANISHING, powers(1e-10 ** (1 / 20)))
    assert dict(found.details)["doubt"] == "short, and not yet sick"
    assert found.bound == 1e-8


@pytest.mark.parametrize(("smallest", "said"), [(1e-3, "note"), (0.99e-24, "note"), (1.01e-25, "note"), (0.99e-25, "error")])
def test_zeros_that_fade_are_no_detached_state(smallest: float, said: str) -> None:
    found = only(VANISHING, profile(*(0.0,) * 20, smallest, math.sqrt(smallest), 1.0))
    assert str(found.severity) == said
    assert ("exactly zero from some step on" in str(found.details)) is (said == "note")


@pytest.mark.parametrize(("kind", "help"), [("LSTM", "forget gate"), ("GRU", "update gate"), ("RNN", "orthogonal")])
def test_help_fits_the_cell(kind: str, help: str) -> None:
    assert help in dict(only(VANISHING, powers(0.1, kind=kind)).details)["help"]


@pytest.mark.parametrize(("memory", "factor"), [("1.4 steps", 0.5), ("0.43 steps", 0.1)])
def test_memory_is_where_one_over_e_is_left(memory: str, factor: float) -> None:
    """factor^n = 1/e at n = -1/ln(factor)."""
    assert recurrence.memory(factor) == memory
    assert f"the memory is {memory} long" in dict(only(VANISHING, powers(factor), min_ratio=1.0).details)["because"]


def test_memory_at_the_ends() -> None:
    assert recurrence.memory(0.0) == "no step"
    assert recurrence.memory(1.0) == recurrence.memory(3.0) == "all steps"


@pytest.mark.parametrize(("factor", "ratio", "said"), [(1.0, 1.02e4, ["error"]), (1.0, 0.98e4, [])])
def test_exponential_growth_beyond_ten_thousand(factor: float, ratio: float, said: list[str]) -> None:
    assert severities(EXPLODING, seen(powers(factor * ratio ** (1 / 24)))) == said


@pytest.mark.parametrize(("ratio", "said"), [(1.02e6, ["error"]), (0.98e6, [])])
def test_growth_at_one_step_beyond_a_million(ratio: float, said: list[str]) -> None:
    one = profile(*(ratio,) * 12, *(1.0,) * 13)
    assert not recurrence.exponential(one)
    assert severities(EXPLODING, seen(one)) == said
    assert severities(EXPLODING, seen(one), horizon=60) == said  # what is no exponential cannot be carried on


def test_an_exponential_is_carried_on_to_the_horizon() -> None:
    found = only(EXPLODING, powers(1.3), horizon=60)
    assert found.got == pytest.approx(1.3**60, rel=1e-6)
    assert dict(found.details)["measured"] == "the loss on the last of 25 steps, carried on to 60"
    within = only(EXPLODING, powers(2.0, stretched=3), horizon=20)
    assert within.got == pytest.approx(2.0**20)
    assert dict(within.details)["measured"] == "the loss on the last of 25 steps; the input of 3 steps was repeated"
    assert "each step back multiplies the norm by 2, an exponential" in dict(within.details)["because"]
    assert only(EXPLODING, powers(2.0)).got == pytest.approx(2.0**24)


def test_every_recurrence_is_judged_by_itself() -> None:
    healthy, sick = powers(1.0), powers(4.0, layer="second")
    (found,), _ = heard(EXPLODING, seen(healthy, sick, healthy))
    assert found.names == ("second",)
    dying = powers(0.1, layer="second")
    (found,), _ = heard(VANISHING, seen(healthy, dying, healthy))
    assert found.names == ("second",)


@pytest.mark.parametrize(("rule", "factor"), [(VANISHING, 0.1), (EXPLODING, 4.0)])
def test_where_it_starts_is_examined_first(rule: str, factor: float) -> None:
    assert heard(rule, seen(powers(factor), detailed=False)) == ([], ["detailed"])
    assert heard(rule, seen(powers(1.0), detailed=False)) == ([], [])


@pytest.mark.parametrize(
    "one",
    [
        powers(0.1, 4),  # five steps tell nothing
        profile(*(math.inf,) * 5, 1.0, 1.0, 1.0),
        profile(*(1e-30,) * 9, 0.0),  # nothing arrives at the last step itself
        profile(*(0.0,) * 9, 1.0),  # a shared layer that was taken for a recurrence
    ],
)
def test_profiles_that_say_nothing(one: TimeProfile) -> None:
    assert recurrence.profiles(seen(one)) == []
    assert recurrence.profiles(seen(powers(0.1, 5))) != []


@pytest.mark.parametrize(
    ("rates", "exponential"),
    [
        ((1.0, 1.0), True),
        ((-1.0, -1.0), True),
        ((1.0, 0.51), True),
        ((1.0, 0.49), False),
        ((0.51, 1.0), True),
        ((1.0, -1.0), False),
    ],
)
def test_exponential_is_as_fast_early_as_late(rates: tuple[float, float], exponential: bool) -> None:
    """Twelve steps at the one rate, then twelve at the other."""
    logs = [rates[0] * t for t in range(13)] + [12 * rates[0] + rates[1] * t for t in range(1, 13)]
    assert recurrence.exponential(profile(*map(math.exp, logs))) is exponential


def test_gain_is_the_geometric_mean_of_the_last_steps() -> None:
    one = profile(1.0, 8.0, 4.0, 1.0)
    assert recurrence.gain(one, 1) == pytest.approx(4.0)
    assert recurrence.gain(one, 2) == pytest.approx(8.0**0.5)
    assert recurrence.gain(one, 3) == recurrence.gain(one, 99) == pytest.approx(1.0)
    assert recurrence.ratio(one, 2) == 8.0
    assert recurrence.ratio(powers(0.5, 10), 30) == pytest.approx(0.5**30)
    assert recurrence.gain(profile(0.0, 1.0, 1.0), 2) == 0.0
