"""NaN or Inf in saved weights."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import counted


def nonfinite_weight(trace: Trace) -> Iterator[Finding]:
    """A saved tensor holds NaN or Inf.

    What it does: counts the entries of every tensor of the file that are no finite number.

    Why it is bad: one such weight makes every output NaN, and training from it goes on with NaN.

    How it is measured: exactly. A mask, which holds one infinity and one other number, is none.

    When it is legitimate: a statistic that was never filled.

    How to fix: take an earlier checkpoint; then a smaller learning rate, clipped gradients, a loss scaler.

    How to silence: ignore={"nonfinite-weight:name": "the reason"}.
    """
    bad = [one for one in trace.saved.tensors if one.nonfinite] if trace.saved is not None else []
    if bad:
        total = len(trace.saved.tensors) if trace.saved is not None else 0
        entries = sum(one.nonfinite for one in bad)
        yield Finding(
            rule="nonfinite-weight",
            severity=Severity.ERROR,
            message=f"{counted(len(bad), 'tensor')} of {total} with NaN or Inf: {counted(entries, 'number')} (0 allowed)",
            places=tuple(Place(one.name, one.dtype, note=f"{one.nonfinite} of them") for one in bad),
            details=(("help", "take an earlier checkpoint; a smaller learning rate, clipped gradients, a loss scaler"),),
            got=float(entries),
            bound=0.0,
        )
