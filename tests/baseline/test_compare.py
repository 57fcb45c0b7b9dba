"""Two flow profiles compared: noise passes, a loss is seen where it starts, layers are found again under other names."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import Report, baseline, check_gradients
from gradcheck_health.baseline.bounds import parse_all
from gradcheck_health.baseline.compare import compare
from gradcheck_health.baseline.layer_matching import match_layers
from gradcheck_health.baseline.profile_of import profile_of
from gradcheck_health.records.change import Shift, Verdict
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.profile import Level, Profile, Share


class Stack(nn.Module):
    """Blocks one behind another; `weak` hands back a tenth of its gradient."""

    def __init__(self, names: tuple[str, ...] = ("a", "b", "c", "d"), weak: str = "", act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.names, self.weak = names, weak
        for name in names:
            self.add_module(name, nn.Sequential(nn.Linear(32, 32), nn.LayerNorm(32), act()))
        self.head = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.names:
            x = self.get_submodule(name)(x)
            if name == self.weak:
                x = 0.1 * x + 0.9 * x.detach()
        return self.head(x)


@pytest.fixture(scope="module")
def held() -> baseline.Baseline:
    return baseline.of(check_gradients(Stack, facts=["reseeded"]))


def check(build: Any, held: baseline.Baseline, **settings: Any) -> Report:
    return check_gradients(build, baseline=held, select=["regressed-gradient"], **settings)


def profile(*decades: float | None, spread: float = 0.05, **changes: Any) -> Profile:
    levels = tuple(Level(f"l{i}", "Linear", value, spread, spread) for i, value in enumerate(decades))
    return dataclasses.replace(Profile(levels, {f"l{i}.weight": f"float32[{i}, 1]" for i in range(len(decades))}), **changes)


def shifts(before: Profile, now: Profile, *fail_if: str) -> list[Shift]:
    """All of them, or those of the one metric that the gate is told to look at."""
    bounds = parse_all(fail_if)
    return [shift for shift in compare(before, now, bounds)[0] if not fail_if or shift.metric == bounds[0].metric]


# ---- measured


@pytest.mark.slow
def test_levels_are_decades_below_the_head() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
            for layer, scale in ((self.one, 1.0), (self.two, 0.01)):
                nn.init.eye_(layer.weight)
                layer.weight.data *= scale

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.one(x))

    levels = {level.name: level.decades for level in profile_of(check_gradients(Scaled()).trace).levels}
    assert levels == {"one": pytest.approx(-2.0, abs=1e-5), "two": pytest.approx(0.0)}


@pytest.mark.slow
def test_model_without_layers_has_a_profile_of_its_parameters() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight)

    held = baseline.of(check_gradients(Bare(), torch.randn(16, 8), facts=["reseeded"]))
    assert [level.name for level in held.profile.levels] == ["weight"]
    assert check_gradients(Bare(), torch.randn(16, 8), baseline=held).ok


@pytest.mark.slow
def test_unchanged_model_passes_under_other_seeds(held: baseline.Baseline) -> None:
    for seed in (0, 11, 12, 13):
        report = check(Stack, held, seed=seed)
        assert report.ok
        assert report.change is not None
        assert report.change.failing == ()
        assert report.change.structure == ()


@pytest.mark.slow
@pytest.mark.parametrize("weak", ["a", "b", "c", "d"])
def test_tenfold_loss_at_one_block_is_found_there(held: baseline.Baseline, weak: str) -> None:
    report = check(lambda: Stack(weak=weak), held, seed=50)
    (finding,) = report.findings
    following = {"a": "b", "b": "c", "c": "d", "d": "head"}[weak]
    assert finding.places[0].name.startswith((weak, following))
    assert finding.got == pytest.approx(-1.0, abs=0.25)
    assert report.rounds == 5


@pytest.mark.slow
def test_loss_is_seen_beside_a_renamed_and_an_added_block(held: baseline.Baseline) -> None:
    names = ("a", "extra", "second", "c", "d")
    sound = check(lambda: Stack(names), held)
    assert sound.ok
    assert sound.change is not None
    told = {(entry.how, entry.name) for entry in sound.change.structure if entry.what == "layer"}
    assert {how for how, _ in told} == {"added", "renamed"}
    assert not check(lambda: Stack(names, weak="c"), held).ok


@pytest.mark.slow
def test_lost_gradient_is_lost(held: baseline.Baseline) -> None:
    class Cut(Stack):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.d(self.c(self.b(self.a(x)).detach())))

    report = check(Cut, held)
    first = report.findings[0]
    assert "no gradient arrives any more at 6 layers" in first.message
    assert first.places[0].name == "b.2"


@pytest.mark.slow
def test_a_fact_does_not_carry_the_reference(held: baseline.Baseline) -> None:
    report = check(lambda: Stack(weak="b"), held)
    assert report.trace.reference == held.profile
    assert all(one.reference is None for fact in report.trace.facts.values() for one in fact)
    assert Report.from_json(report.to_json()).change == report.change


@pytest.mark.slow
def test_finding_of_a_known_rule_comes_first(held: baseline.Baseline) -> None:
    class Unused(Stack):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.d(self.c(self.b(x))))

    report = check_gradients(Unused, baseline=held)
    assert {finding.rule for finding in report.failures} == {"missing-gradient"}
    assert report.change is not None
    assert {shift.name for shift in report.change.failing if shift.now is None} == {"a.0", "a.1", "a.2"}


# ---- compared


@pytest.mark.parametrize(
    ("was", "now", "amount"),
    [
        ((-1.0, 0.0), (-2.0, 1.1), None),  # ten times the values, a tenth of the gradient: the same flow
        ((-1.0, 0.0), (-2.0, 0.3), -0.75),  # as far as the values explain it
        ((-1.0, 0.0), (-2.0, -1.0), -1.0),  # the values fell too
        ((0.0, 0.0), (3.0, -3.0), None),
        ((0.0, 0.0), (3.0, 0.0), 3.0),
        ((-1.0, None), (-2.0, 1.0), -1.0),
    ],
)
def test_a_level_moved_where_the_gradient_moved_more_than_the_values(was: Any, now: Any, amount: float | None) -> None:
    def one(decades: float, scale: float | None) -> Profile:
        return Profile((Level("l0", "Linear", decades, 0.05, 0.05, scale=scale), Level("l1", "Linear", 0.0)), {})

    found = [shift.amount for shift in shifts(one(*was), one(*now), "flow")]
    assert found == ([] if amount is None else [pytest.approx(amount)])


def test_a_branch_that_starts_at_zero_is_no_loss_and_hides_none() -> None:
    opening = Level("l1", "Linear", None, 0.0, 0.0, closed=True)

    def levels(*given: float, branch: Level = opening) -> Profile:
        first, last = (Level(name, "Linear", value, 0.05, 0.05) for name, value in zip(("l0", "l2"), given, strict=True))
        return Profile((first, branch, last), {})

    before = levels(0.9, -0.1, branch=Level("l1", "Linear", 0.3, 0.05, 0.05))
    assert not any(shift.fails for shift in shifts(before, levels(-0.1, -0.1)))
    assert [shift.name for shift in shifts(before, levels(-1.0, -0.1)) if shift.fails] == ["l0"]


def test_tolerance_is_half_a_decade_or_four_spreads() -> None:
    assert shifts(profile(-1.0, 0.0), profile(-1.45, 0.0)) == []
    assert [s.fails for s in shifts(profile(-1.0, 0.0), profile(-1.55, 0.0), "flow")] == [True]
    assert shifts(profile(-1.0, 0.0, spread=0.3), profile(-2.1, 0.0), "flow") == []
    assert shifts(profile(-1.0, 0.0), profile(-2.1, 0.0, spread=0.3), "flow") == []
    assert [s.allowed for s in shifts(profile(-1.0, 0.0, spread=0.3), profile(-2.3, 0.0), "flow")] == [pytest.approx(1.2)]


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        ((-1.0, 0.0), (-2.0, 0.0), Verdict.WORSE),
        ((0.6, 0.0), (-0.4, 0.0), Verdict.WORSE),
        ((5.0, 2.0, 0.0), (0.2, 0.1, 0.0), Verdict.BETTER),
        ((-3.0, 0.0), (-1.0, 0.0), Verdict.BETTER),
        ((-0.3, 0.0), (0.6, 0.0), Verdict.MOVED),
        ((0.0, 0.0), (3.0, 0.0), Verdict.WORSE),
        ((None, 0.0), (-1.0, 0.0), Verdict.BETTER),
        ((-1.0, 0.0), (None, 0.0), Verdict.WORSE),
    ],
)
def test_which_way_is_worse(before: Any, now: Any, verdict: Verdict) -> None:
    found = [shift for shift in shifts(profile(*before), profile(*now)) if shift.metric == "flow"]
    assert found[0].verdict is verdict
    assert found[0].fails == (verdict is Verdict.WORSE)


def test_loss_at_one_place_stands_out_where_depth_has_piled_up_noise() -> None:
    def noisy(*decades: float) -> Profile:
        levels = (Level(f"l{i}", "Linear", value, 0.5 * (len(decades) - i), 0.05) for i, value in enumerate(decades))
        return Profile(tuple(levels), {})

    found = [shift for shift in shifts(noisy(-1.2, -0.8, -0.4, 0.0), noisy(-2.2, -1.8, -0.4, 0.0)) if shift.fails]
    assert [(shift.metric, shift.name, shift.culprit) for shift in found] == [("gain", "l1", "l2")]


def test_own_bounds_replace_the_default() -> None:
    before, now = profile(-1.0, -0.5, 0.0), profile(-1.8, -0.6, 0.0)
    assert [s.name for s in shifts(before, now, "flow") if s.fails] == ["l0"]
    assert [s.name for s in shifts(before, now, "flow:-1dec") if s.fails] == []
    assert [s.name for s in shifts(before, now, "flow:-0.05dec") if s.fails] == ["l0", "l1"]
    assert [s.name for s in shifts(before, now, "flow@l1:-0.05dec") if s.fails] == ["l1"]
    assert [s.name for s in shifts(now, before, "flow:+0.5dec") if s.fails] == ["l0"]


@pytest.mark.parametrize(
    ("metric", "before", "now", "fails"),
    [
        ("dead_fraction", 0.1, 0.2, True),
        ("dead_fraction", 0.1, 0.14, False),
        ("dead_fraction", 0.3, 0.1, False),
        ("reached_fraction", 1.0, 0.8, True),
        ("reached_fraction", 0.8, 1.0, False),
    ],
)
def test_shares_have_a_bad_direction(metric: str, before: float, now: float, fails: bool) -> None:
    sides = [profile(0.0, shares={metric: Share(value, 0.0)}) for value in (before, now)]
    assert any(shift.fails for shift in shifts(*sides)) == fails


def test_layers_that_idle_under_some_seeds_are_not_lost() -> None:
    idle = Level("l0", "Linear", -1.0, 0.2, 0.2, sometimes=True)
    now = profile(None, 0.0)
    before = dataclasses.replace(now, levels=(idle, now.levels[1]))
    assert shifts(before, now) == []


def test_other_weights_have_a_wider_tolerance() -> None:
    before = profile(-1.0, 0.0, fixed=True, weights="a")
    assert shifts(before, profile(-1.7, 0.0, weights="b"), "flow") == []
    assert len(shifts(before, profile(-1.7, 0.0, weights="a"), "flow")) == 1
    assert "the weights are not those of the baseline" in compare(before, profile(-1.7, 0.0, weights="b"), ())[2][0]


def test_flow_that_was_not_judged_is_not_compared() -> None:
    found, _, notes = compare(profile(-1.0, note="a batch of one"), profile(-9.0), parse_all(()))
    assert found == []
    assert notes == ["the baseline is not compared: a batch of one"]


# ---- aligned


def test_names_that_move_behind_an_insertion_are_found_again() -> None:
    def stack(*kinds: tuple[str, str]) -> Profile:
        levels = tuple(Level(str(i), kind, -1.0) for i, (kind, _) in enumerate(kinds))
        return Profile(levels, {f"{i}.weight": shape for i, (_, shape) in enumerate(kinds) if shape})

    before = stack(("Linear", "f[4, 8]"), ("ReLU", ""), ("Linear", "f[2, 4]"))
    now = stack(("Linear", "f[4, 8]"), ("LayerNorm", "f[4]"), ("ReLU", ""), ("Linear", "f[2, 4]"))
    found = match_layers(before, now)
    assert found.levels == {"0": "0", "2": "1", "3": "2"}
    layers = {(entry.how, entry.name, entry.before) for entry in found.structure if entry.what == "layer"}
    assert layers == {("added", "1", ""), ("renamed", "2", "1"), ("renamed", "3", "2")}


def test_every_kind_of_structural_change_is_reported() -> None:
    before = Profile(
        (Level("a", "Linear", 0.0), Level("b", "ReLU", 0.0), Level("gone", "Tanh", 0.0)),
        {"a.weight": "f[2, 2]", "free": "f[3]", "old": "f[5]", "cut": "f[9]"},
    )
    now = Profile(
        (Level("a", "Linear", 0.0), Level("b", "Sigmoid", 0.0)),
        {"a.weight": "f[2, 4]", "free": "f[3], frozen", "new": "f[5]", "more": "f[7]"},
    )
    found = {(entry.what, entry.how, entry.name) for entry in match_layers(before, now).structure}
    assert found == {
        ("layer", "replaced", "b"),
        ("layer", "removed", "gone"),
        ("parameter", "reshaped", "a.weight"),
        ("parameter", "frozen", "free"),
        ("parameter", "renamed", "new"),
        ("parameter", "removed", "cut"),
        ("parameter", "added", "more"),
    }


def test_same_profile_has_no_change() -> None:
    same = profile(-1.0, -0.5, 0.0)
    found, aligned, notes = compare(same, same, parse_all(()))
    assert (found, aligned.structure, notes) == ([], (), [])
    assert all(math.isfinite(level.decades or 0.0) for level in same.levels)


# ---- conditions


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("dtype", "float16", "dtype: was written for float16, got float32"),
        ("device", "cuda", "device: was written for cuda, got cpu"),
        ("mode", "eval", "mode: was written for eval, got training"),
        ("gradcheck-health", "7.1.0", "was written by gradcheck-health 7.1.0"),
    ],
)
def test_other_conditions_are_refused(held: baseline.Baseline, key: str, value: str, words: str) -> None:
    other = dataclasses.replace(held, environment={**held.environment, key: value}, path="b.json", target="net.py:Net")
    with pytest.raises(UsageError) as raised:
        check(Stack, other)
    assert f"baseline b.json: {words}" in str(raised.value)
    assert "gradhealth baseline update net.py:Net" in str(raised.value)


def test_wrong_expression_is_reported_before_anything_runs(held: baseline.Baseline) -> None:
    with pytest.raises(UsageError, match="no metric 'flw'"):
        check_gradients(Stack, baseline=held, rules={"regressed-gradient": {"fail_if": ["flw:-1dec"]}})
