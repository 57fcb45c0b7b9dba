"""The detectors of AUTOTRAINER.

Zhang et al., "AutoTrainer: An Automatic DNN Training Problem Detection and Repair System", ICSE 2021.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.presets._judge import crossing, distributions_of


def vanishing_gradient(trace: Trace, *, min_ratio: float = 1e-3, min_first: float = 1e-4) -> Iterator[Finding | Need]:
    """The first weight's mean gradient is below 1e-4 and below a thousandth of the last weight's."""
    found = distributions_of(trace, "gradient")
    if found is None:
        yield Need("distributions")
        return
    weights = [entry for entry in found if entry.name.endswith("weight")]
    if len(weights) > 1 and weights[-1].mean > 0:
        first, ratio = weights[0], weights[0].mean / weights[-1].mean
        if ratio < min_ratio and first.mean < min_first:
            text = f"the first weight's gradient is {ratio:.2g} of the last one's (at least {min_ratio:g} allowed)"
            yield Finding(
                "autotrainer-vanishing-gradient",
                Severity.ERROR,
                text,
                (Place(first.name, first.kind),),
                got=ratio,
                bound=min_ratio,
            )


def exploding_gradient(trace: Trace, *, max_ratio: float = 70.0) -> Iterator[Finding | Need]:
    """A weight's mean gradient is more than 70 times the last one's, or not finite."""
    found = distributions_of(trace, "gradient")
    weights = [] if found is None else [entry for entry in found if entry.name.endswith("weight")]
    last = weights[-1].mean if weights and weights[-1].mean > 0 else 1.0
    bad = None if found is None else [(entry, entry.mean / last) for entry in weights if not entry.mean / last <= max_ratio]
    yield from crossing(trace, "autotrainer-exploding-gradient", "gradient", bad, max_ratio, "the ratio to the last one's mean")


def dying_relu(trace: Trace, *, max_zeros: float = 0.7) -> Iterator[Finding | Need]:
    """At least 70 % of a weight's gradient are zero in a net with ReLU."""
    found = distributions_of(trace, "gradient")
    rectified = any(entry.function == "relu" for entry in trace.activations)
    bad = None
    if found is not None:
        bad = [
            (entry, entry.zeros) for entry in found if rectified and entry.name.endswith("weight") and entry.zeros >= max_zeros
        ]
    yield from crossing(trace, "autotrainer-dying-relu", "gradient", bad, max_zeros, "the share of zeros")


RULES = (vanishing_gradient, exploding_gradient, dying_relu)
