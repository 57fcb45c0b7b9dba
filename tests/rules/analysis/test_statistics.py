"""The little statistics, against exact sums and printed tables."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest

from gradcheck_health.rules.analysis.statistics import binomial_tail, lower_mean, lower_share, student_tail, upper_mean


@pytest.mark.parametrize(("k", "n", "p"), [(0, 5, 0.3), (3, 5, 0.3), (5, 5, 0.3), (40, 100, 0.5), (64, 64, 0.9)])
def test_binomial_tail_is_the_exact_sum(k: int, n: int, p: float) -> None:
    exact = sum(comb(n, i) * Fraction(p) ** i * (1 - Fraction(p)) ** (n - i) for i in range(k, n + 1))
    assert binomial_tail(k, n, p) == pytest.approx(float(exact), rel=1e-9)


def test_binomial_tail_at_the_ends() -> None:
    assert binomial_tail(1, 5, 0.0) == 0.0
    assert binomial_tail(5, 5, 1.0) == 1.0


@pytest.mark.parametrize(("t", "freedom", "p"), [(31.821, 1, 0.01), (2.998, 7, 0.01), (2.015, 5, 0.05), (3.090, 10**6, 0.001)])
def test_student_tail_is_the_printed_table(t: float, freedom: int, p: float) -> None:
    assert student_tail(t, freedom) == pytest.approx(p, rel=2e-3)


def test_lower_share_of_a_whole_is_known_in_closed_form() -> None:
    assert lower_share(10, 10) == pytest.approx(0.01 ** (1 / 10), rel=1e-6)
    assert lower_share(0, 10) == 0.0


@pytest.mark.parametrize(("k", "n"), [(3, 10), (50, 64), (255, 256)])
def test_lower_share_is_where_the_tail_is_the_error(k: int, n: int) -> None:
    assert binomial_tail(k, n, lower_share(k, n)) == pytest.approx(0.01, rel=1e-6)


def test_bounds_of_a_mean() -> None:
    # mean 3, standard deviation sqrt(2.5), t(0.99, 4) = 3.75
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert upper_mean(values) == pytest.approx(3 + 3.75 * (2.5 / 5) ** 0.5)
    assert lower_mean(values) == pytest.approx(3 - 3.75 * (2.5 / 5) ** 0.5)
    assert upper_mean([7.0]) == 7.0


@pytest.mark.parametrize("n", [*range(2, 14), 30])
def test_bound_of_a_mean_is_a_quantile_of_student(n: int) -> None:
    """One in a hundred lies beyond it, and never more, in units of the standard error."""
    values = [float(i) for i in range(n)]
    mean = sum(values) / n
    error = (sum((value - mean) ** 2 for value in values) / (n - 1) / n) ** 0.5
    beyond = student_tail((upper_mean(values) - mean) / error, n - 1)
    assert beyond == pytest.approx(0.01, rel=0.04) if n < 14 else 0.005 < beyond < 0.01
    assert upper_mean(values) - mean == pytest.approx(mean - lower_mean(values))
