"""Weights that a training run left where they were."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace


def unmoved_weight(trace: Trace, *, min_change: float = 1e-5) -> Iterator[Finding]:
    """Between the two files the weights have not moved, or hardly.

    What it does: compares every weight with the one of the same name in the file given with --against.

    Why it is bad: what does not move does not learn: frozen by mistake, in no optimizer, without a gradient, or a learning rate
    of nothing.

    How it is measured: |w - w0| / |w0| of every weight of two axes and more. An error where none has moved at all, a warning
    where the fastest has moved less than min_change, a note naming those that stayed where others moved.

    When it is legitimate: layers that are frozen on purpose; two files of the same step.

    How to fix: give every parameter to the optimizer, look at requires_grad, raise the learning rate.

    How to silence: ignore={"unmoved-weight:backbone.*": "frozen"}.
    """
    weights = [one for one in trace.saved.compared if len(one.shape) > 1] if trace.saved is not None else []
    still = [one for one in weights if one.moved == 0]
    changes = [one.moved / one.base for one in weights if one.base and one.moved is not None]
    if weights and len(still) == len(weights):
        severity, message, bad, got = (
            Severity.ERROR,
            f"none of {len(weights)} weights has moved (at least one wanted)",
            still,
            0.0,
        )
    elif changes and max(changes) < min_change:
        severity, bad, got = Severity.WARNING, weights, max(changes)
        message = f"the fastest of {len(weights)} weights has moved by {got:.1e} of its size (at least {min_change:.0e} wanted)"
    elif still:
        severity, message, bad, got = Severity.NOTE, f"{len(still)} of {len(weights)} weights have not moved", still, 0.0
    else:
        return
    yield Finding(
        rule="unmoved-weight",
        severity=severity,
        message=message,
        places=tuple(Place(one.name, one.dtype) for one in bad),
        details=(("help", "give every parameter to the optimizer, look at requires_grad and at the learning rate"),),
        got=got,
        bound=min_change,
    )
