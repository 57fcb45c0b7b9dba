"""The checks of TheDeepChecker.

Ben Braiek and Khomh, "Testing Feedforward Neural Networks Training Programs", TOSEM 2023.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_health.records.finding import Finding, Need
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.presets._judge import crossing, distributions_of


def vanishing_gradient(trace: Trace, *, min_mean: float = 1e-6) -> Iterator[Finding | Need]:
    """The mean absolute value of a weight's gradient is below 1e-6."""
    found = distributions_of(trace, "gradient")
    bad = None if found is None else [(entry, entry.mean) for entry in found if entry.mean < min_mean]
    yield from crossing(trace, "deepchecker-vanishing-gradient", "gradient", bad, min_mean, "the mean absolute value")


def exploding_gradient(trace: Trace, *, max_mean: float = 1e6) -> Iterator[Finding | Need]:
    """The mean absolute value of a weight's gradient is above 1e6, or not finite."""
    found = distributions_of(trace, "gradient")
    bad = None if found is None else [(entry, entry.mean) for entry in found if not entry.mean <= max_mean]
    yield from crossing(trace, "deepchecker-exploding-gradient", "gradient", bad, max_mean, "the mean absolute value")


def dead_activation(trace: Trace, *, max_share: float = 0.5) -> Iterator[Finding | Need]:
    """In half of a layer's units the 95th percentile of the absolute activation is below 1e-5."""
    found = distributions_of(trace, "output")
    bad = (
        None if found is None else [(entry, entry.weak) for entry in found if entry.weak is not None and entry.weak > max_share]
    )
    yield from crossing(trace, "deepchecker-dead-activation", "output", bad, max_share, "the share of weak units")


RULES = (vanishing_gradient, exploding_gradient, dead_activation)
