"""The measure that a rule judges, read off a trace that need not be sick, and the forward signal that ranks cures."""

from __future__ import annotations

import math

from gradcheck_health.records.finding import Finding
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow, recurrence

_STEPS = 20
_FAR = 3.0
"""Decades of growth or loss over the steps that were fed, from which on a recurrence that is sound will still hardly learn."""


def measure(finding: Finding, trace: Trace) -> float | None:
    """What the rule of a finding measures, of another trace; None where that takes more than a trace."""
    rule = finding.rule
    if rule in ("vanishing-gradient", "exploding-gradient"):
        kept = flow.ratio(trace)
        return max(flow.fact_ratios(trace)) if kept == 0.0 else kept  # branches that start at zero wake up
    if rule.endswith("-through-time"):
        found = [recurrence.ratio(profile, _STEPS) for profile in recurrence.profiles(trace)]
        return max(found, key=lambda value: abs(math.log(max(value, 1e-300))), default=None)
    if rule == "dead-unit":
        return max((a.off / a.units for a in trace.activations if a.units and not a.by_rows), default=None)
    if rule == "saturated-activation":
        return max((a.saturated / a.units for a in trace.activations if a.units and not a.one_sided), default=None)
    if rule == "nonfinite-gradient":
        return float(sum(p.gradient is not None and not p.gradient.finite for p in trace.parameters.values()))
    if rule == "identical-units":
        return float(max((twin.alike for twin in trace.twins), default=0))
    if rule == "double-softmax":
        return float(len(trace.double_softmaxes))
    return None


def promising(finding: Finding, trace: Trace, *, waking: bool = False) -> bool:
    """Whether a first look lets hope that the rule falls silent: what is as sick as before need not be checked whole.

    Args:
        waking: it adds parameters, which may start at zero: a gradient of zero may wake up.
    """
    got = measure(finding, trace)
    if finding.rule == "nonfinite-gradient":
        return got == 0.0 and (trace.loss is None or math.isfinite(trace.loss))
    nonfinite = any(p.gradient is not None and not p.gradient.finite for p in trace.parameters.values())
    if nonfinite or trace.backward_error:
        return False
    if got is None or finding.bound is None or finding.rule in ("identical-units", "high-initial-loss"):
        return True
    if finding.rule.startswith("vanishing"):
        return got >= finding.bound or (waking and got == 0.0)
    return got <= finding.bound


def signal(finding: Finding, trace: Trace, variation: float | None, rms: float | None) -> float:
    """The smaller, the likelier it learns: how far the output's size is from one, and how little it varies over samples.

    Of 98 models the cure that is first by it learns in 79 %, of a random sound one in 70 %. For a recurrence what is left over
    the steps that were fed counts as well, as far as it is beyond three decades.
    """
    score = 0.0
    if rms is not None:
        score += abs(math.log10(rms)) if 0 < rms < math.inf else 30.0
    if variation is not None:
        score -= math.log10(max(variation, 1e-30))
    if finding.rule.endswith("-through-time"):
        for profile in recurrence.profiles(trace):
            fed = abs(flow.log10(recurrence.ratio(profile, len(profile.norms) - 1)))
            score += max(0.0, fed - _FAR)
    return score
