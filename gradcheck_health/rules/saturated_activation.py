"""Squashing activations driven to their flat ends."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Severity
from gradcheck_health.records.measurements import SQUASHING, ActivationTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow
from gradcheck_health.rules.analysis.statistics import lower_share
from gradcheck_health.rules.analysis.units import may_wake, scale_of_inputs, unit_places

if TYPE_CHECKING:
    from torch import nn

WARNING, WHOLE = 0.5, 0.95


def saturated_activation(trace: Trace, *, max_fraction: float | None = None, layers: str = "*") -> Iterator[Finding | Need]:
    """Units of sigmoid, tanh or softmax sit at their flat ends, where the derivative is almost zero.

    What it does: counts, layer by layer, the units of sigmoid, tanh and their hard variants that pass less than a
    tenth of the squared derivative that they could, and the rows of a softmax that are almost one-hot.

    Why it is bad: a saturated unit passes almost no gradient back, whatever its input: learning stops there and
    before it.

    How it is measured: the mean over samples of phi'^2 / max phi'^2 of a unit is below 0.1 (softmax: 1 - sum p^2
    below 1 % of its largest value); the share of such units, with a Clopper-Pearson bound of 99 %, is above 0.5: a
    warning; an error where it is the whole layer and the flow through the model has vanished too, or where the
    derivative is zero to the last digit. 15 % are normal for tanh with large weights. A max_fraction that you set is
    a bound, and crossing it an error.

    When it is legitimate: gates. A sigmoid whose saturated units are all closed, or all open, is a design (highway
    and forget gates) and not reported.

    How to fix: smaller weights or a smaller gain before it, a normalisation, softmax of logits / sqrt(d), ReLU-like
    activations.

    How to silence: ignore={"saturated-activation:policy.*": "the reason"}; layers= narrows it to a pattern of names.
    """
    limit = WARNING if max_fraction is None else max_fraction
    if not any(_flat(a) > limit * a.units for a in trace.activations if _judged(a, layers)):
        return
    if "more_samples" not in trace.facts:
        yield Need("more_samples")
        return
    counted = trace.under("more_samples")
    found = [a for a in counted.activations if _judged(a, layers) and (lower_share(_flat(a), a.units) > limit or _shut(a))]
    if any(may_wake(counted, a) for a in found):
        yield Need("more_samples", more=True)
        return
    if found and "detailed" not in trace.facts:
        yield Need("detailed")
        return
    through = flow.ratio(trace)
    vanished = through is not None and through < flow.SGD_LEARNS_ABOVE

    def wrong(a: ActivationTrace) -> bool:
        whole = _flat(a) > WHOLE * a.units
        return max_fraction is not None or (whole and vanished) or (a.off > WHOLE * a.units and not a.by_rows)

    for severity in (Severity.ERROR, Severity.WARNING):
        members = [a for a in found if wrong(a) is (severity is Severity.ERROR)]
        if members:
            yield _finding(trace, severity, members, limit)


def _judged(a: ActivationTrace, pattern: str) -> bool:
    return a.units > 0 and not a.one_sided and any(fnmatchcase(name, pattern) for name in (a.layer, a.producer))


def _shut(a: ActivationTrace) -> bool:
    """Not one unit passes anything: certain, however few they are."""
    return a.off == a.units and a.function in SQUASHING


def _flat(a: ActivationTrace) -> int:
    return max(a.off, a.saturated) if a.function in SQUASHING else a.saturated


def _finding(trace: Trace, severity: Severity, members: list[ActivationTrace], limit: float) -> Finding:
    seen = trace.closest
    places = [
        place
        for a in members
        for place in unit_places(seen, a, f"{a.function}, {_flat(a)} of {a.units} {'rows' if a.by_rows else 'units'}")
    ]
    worst = max(members, key=lambda a: _flat(a) / a.units)
    share = _flat(worst) / worst.units
    return Finding(
        rule="saturated-activation",
        severity=severity,
        message=f"{share:.0%} of the units of {worst.layer or worst.function} are saturated (at most {limit:.0%} allowed)",
        places=tuple(places),
        details=(
            (
                "because",
                f"what goes into {worst.function} is so large that its derivative is almost always far below its largest",
            ),
            *scale_of_inputs(trace),
            (
                "help",
                "initialise smaller, normalise before it"
                + (", divide the logits by sqrt(d), or raise the temperature" if worst.function == "softmax" else ""),
            ),
        ),
        got=share,
        bound=limit,
        cause=worst.function,
    )


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))


def sick() -> nn.Module:
    from torch import nn

    first = nn.Linear(16, 32)
    nn.init.normal_(first.weight, std=100.0)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(32, 4))
