"""The fits beside closed forms: lines, laws, limits, intervals, and exponents in width."""

from __future__ import annotations

import math
import random

import pytest

from gradcheck_health.check.scale.fit import checked, depth_fit, layer_slopes, line, quantile, to_check
from gradcheck_health.records.scale import SizePoint
from gradcheck_health.rules.analysis.depth_scale import predicted


def point(depth: int, *logarithms: float, lowest: float = 1e-4, highest: float = 1e4) -> SizePoint:
    return SizePoint(depth, None, tuple(10.0**value for value in logarithms), lowest=lowest, highest=highest)


def test_line_is_that_of_the_textbook() -> None:
    found = line([(1.0, 2.0, 1.0), (2.0, 4.0, 1.0), (3.0, 5.0, 1.0), (4.0, 8.0, 1.0)])
    assert (found.slope, found.intercept, found.freedom) == (pytest.approx(1.9), pytest.approx(0.0), 2)
    assert found.error == pytest.approx(math.sqrt(0.7 / 2 / 5))


def test_weights_count_like_repeated_observations() -> None:
    once = line([(1.0, 0.0, 2.0), (2.0, 3.0, 1.0), (4.0, 4.0, 1.0)])
    twice = line([(1.0, 0.0, 1.0), (1.0, 0.0, 1.0), (2.0, 3.0, 1.0), (4.0, 4.0, 1.0)])
    assert (once.slope, once.intercept) == (pytest.approx(twice.slope), pytest.approx(twice.intercept))


def test_exponential_reaches_its_bound_where_the_closed_form_does() -> None:
    fit = depth_fit([point(depth, -0.25 * depth, -0.25 * depth) for depth in (2, 4, 8)])
    assert fit is not None and fit.law == "exponential" and fit.rule == "vanishing-gradient"
    assert (fit.slope, fit.deepest) == (pytest.approx(-0.25), pytest.approx(16.0))
    assert fit.low == pytest.approx(16.0) and fit.high == pytest.approx(16.0) and to_check(fit) == 16


def test_power_law_is_told_from_an_exponential() -> None:
    fit = depth_fit([point(depth, 1.5 * math.log10(depth)) for depth in (2, 4, 8, 16)])
    assert fit is not None and fit.law == "power" and fit.slope == pytest.approx(1.5)
    assert fit.deepest == pytest.approx(10 ** (4 / 1.5))
    assert predicted(fit, 100) == pytest.approx(3.0)


def test_growth_has_the_other_bound_and_batch_norms_move_it() -> None:
    plain = depth_fit([point(depth, 0.2 * depth) for depth in (2, 4, 8)])
    assert plain is not None and plain.rule == "exploding-gradient" and plain.deepest == pytest.approx(20.0)
    moved = [point(depth, 0.2 * depth, highest=10 ** (4 + 0.1 * depth)) for depth in (2, 4, 8)]
    beside = depth_fit(moved)
    assert beside is not None and beside.deepest == pytest.approx(40.0)


@pytest.mark.parametrize("values", [(0.0, 0.01, -0.01), (-0.5, -0.5, -0.5), (-0.3, 0.4, -0.2)])
def test_no_slope_is_no_law(values: tuple[float, ...]) -> None:
    fit = depth_fit([point(depth, value - 0.02, value + 0.02) for depth, value in zip((2, 4, 8), values, strict=True)])
    assert fit is not None and fit.law == "none" and fit.deepest is None and to_check(fit) is None


def test_two_depths_give_no_interval_where_nothing_is_left_over() -> None:
    fit = depth_fit([point(2, -1.0), point(4, -2.0)])
    assert fit is not None and fit.law == "exponential" and fit.error == math.inf
    assert fit.deepest == pytest.approx(8.0) and fit.low is None and fit.high is None


def test_one_depth_and_what_underflows_is_not_fitted() -> None:
    assert depth_fit([point(4, -1.0)]) is None
    zero = SizePoint(8, None, (0.0, math.inf, math.nan), lowest=1e-4, highest=1e4)
    fit = depth_fit([point(2, -1.0), point(4, -2.0), zero])
    assert fit is not None and fit.depths == (2, 4)


def test_check_says_how_far_off_in_depth() -> None:
    fit = depth_fit([point(depth, -0.25 * depth, -0.25 * depth) for depth in (2, 4, 8)])
    assert fit is not None
    one = checked(fit, point(16, -3.6)).check
    assert one is not None and one.predicted == pytest.approx(-4.0) and one.off == pytest.approx(-0.1)
    bent = depth_fit([point(depth, 1.5 * math.log10(depth)) for depth in (2, 4, 8)])
    assert bent is not None
    other = checked(bent, point(16, 1.5 * math.log10(20))).check
    assert other is not None and other.off == pytest.approx(0.25)


@pytest.mark.parametrize("noise", [0.05, 0.1])
def test_interval_holds_the_truth_as_often_as_it_says(noise: float) -> None:
    """Random walks over the layers, as ln|g|^2 of a net is: 95 % of the intervals hold the true limit."""
    draw = random.Random(7)
    held = 0
    for _ in range(400):
        walks = [point(d, *(sum(draw.gauss(-0.4, noise) for _ in range(d)) for _ in range(5)), lowest=1e-8) for d in (2, 4, 8)]
        fit = depth_fit(walks)
        assert fit is not None
        held += (fit.low or 0.0) <= 20.0 <= (fit.high or math.inf)
    assert 0.91 <= held / 400 <= 0.98


def test_quantiles_are_those_of_the_tables() -> None:
    assert (quantile(1), quantile(4), quantile(10)) == (12.71, 2.78, 2.23)
    assert quantile(1000) == pytest.approx(1.96, abs=0.01) and quantile(0) == math.inf


def test_exponents_in_width_are_those_of_the_powers() -> None:
    points = [
        SizePoint(2, width, changes={"up": (0.01 * width, 0.02 * width), "flat": (3.0,), "lost": (0.0,)})
        for width in (32, 64, 128, 256)
    ]
    up, flat = layer_slopes(points, {"up": "Linear"})
    assert (up.layer, up.kind, up.slope) == ("up", "Linear", pytest.approx(1.0)) and up.error == pytest.approx(0.0, abs=1e-9)
    assert (flat.layer, flat.slope) == ("flat", pytest.approx(0.0))


def test_layers_that_are_not_at_every_width_have_no_exponent() -> None:
    points = [SizePoint(None, 32, changes={"a": (1.0,)}), SizePoint(None, 64, changes={"b": (1.0,)})]
    assert layer_slopes(points, {}) == () and layer_slopes(points[:1], {}) == ()
