"""The little statistics that verdicts need: how sure, and how likely by chance. Plain Python, so that rules stay light."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence

_T99 = (31.82, 6.96, 4.54, 3.75, 3.36, 3.14, 3.00, 2.90, 2.82, 2.76)
"""One-sided 99 % quantiles of Student's t for 1 to 10 degrees of freedom."""
_NOTHING = 1e-18
"""Of a sum in double precision."""


def upper_mean(values: Sequence[float]) -> float:
    """One-sided 99 % bound above the mean of a sample (Student's t); a single value is its own bound."""
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    quantile = _T99[n - 2] if n - 2 < len(_T99) else 2.7
    return mean + quantile * math.sqrt(variance / n)


def lower_mean(values: Sequence[float]) -> float:
    """One-sided 99 % bound below the mean of a sample."""
    return -upper_mean([-value for value in values])


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for X ~ Binomial(n, p)."""
    if k <= 0:
        return 1.0
    if p <= 0.0 or p >= 1.0:
        return float(p >= 1.0)
    # each term from its neighbour, from the largest one on: the small ones at the ends may be left out
    largest = min(max(k, int((n + 1) * p)), n)
    odds = p / (1.0 - p)
    up = _series((n - i) / (i + 1) * odds for i in range(largest, n))
    down = _series(i / ((n - i + 1) * odds) for i in range(largest, k, -1))
    log = math.lgamma(n + 1) - math.lgamma(largest + 1) - math.lgamma(n - largest + 1)
    log += largest * math.log(p) + (n - largest) * math.log1p(-p)
    return min(1.0, math.exp(log) * (1.0 + up + down))


def _series(ratios: Iterable[float]) -> float:
    """Sum of the terms that follow 1, each that times the one before it, as far as they count."""
    total, term = 0.0, 1.0
    for ratio in ratios:
        term *= ratio
        total += term
        if term < _NOTHING * total:
            break
    return total


@functools.cache
def lower_share(k: int, n: int, error: float = 0.01) -> float:
    """Clopper-Pearson: the smallest share under which k of n is still no rarer than `error`."""
    if k == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_tail(k, n, middle) < error else (low, middle)
    return low


def student_tail(t: float, freedom: int) -> float:
    """P(T >= t) for Student's t, t >= 0."""
    if freedom > 200:
        return 0.5 * math.erfc(t / math.sqrt(2))
    # Simpson's rule after x = sqrt(freedom) tan(angle), where the density is a power of the cosine
    if freedom < 1 or math.isnan(t):
        return 0.5
    start, steps = math.atan(t / math.sqrt(freedom)), 400
    width = (math.pi / 2 - start) / steps
    weights = (1 if i in (0, steps) else 4 if i % 2 else 2 for i in range(steps + 1))
    area = sum(w * max(math.cos(start + i * width), 0.0) ** (freedom - 1) for i, w in enumerate(weights)) * width / 3
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return min(0.5, scale * area)
