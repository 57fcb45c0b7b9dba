"""Weights that have grown beyond what training does."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace


def exploded_weight(trace: Trace, *, max_growth: float = 20.0) -> Iterator[Finding]:
    """A weight is many times larger than in the earlier file.

    What it does: compares the norm of every weight with that of the same name in the file given with --against.

    Why it is bad: steps that large forget what was learnt; mostly the run has diverged.

    How it is measured: |w| / |w0| of weights of two axes and more, above max_growth. Weights that began at zero have no ratio.

    When it is legitimate: weights that began tiny on purpose and were trained for long.

    How to fix: a smaller learning rate, a warm-up, clipped gradients, weight decay.

    How to silence: ignore={"exploded-weight:name": "began tiny"}, or a larger max_growth.
    """
    weights = [one for one in trace.saved.compared if len(one.shape) > 1 and one.base] if trace.saved is not None else []
    grown = sorted(((one.norm / one.base, one) for one in weights if one.base), key=lambda pair: -pair[0])
    bad = [(ratio, one) for ratio, one in grown if ratio > max_growth]
    if bad:
        yield Finding(
            rule="exploded-weight",
            severity=Severity.WARNING,
            message=f"{bad[0][1].name} is {bad[0][0]:.3g} x as large as in the earlier file (at most {max_growth:g} x allowed)",
            places=tuple(Place(one.name, one.dtype, note=f"{ratio:.3g} x") for ratio, one in bad),
            details=(("help", "a smaller learning rate, a warm-up, clipped gradients, weight decay"),),
            got=bad[0][0],
            bound=max_growth,
        )
