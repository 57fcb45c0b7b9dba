"""Is a model trained in half precision, and what of its gradients would half precision hold?"""

from __future__ import annotations

import math

from gradcheck_health.records.evidence import Headroom, Nonfinite
from gradcheck_health.records.finding import Severity
from gradcheck_health.records.trace import Trace

FLUSHED = {"float16": -25, "bfloat16": -134, "float32": -150}
"""Entries at or below 2 to this power become zero: half of the smallest number of the type."""
LARGEST = 65504.0
"""Of float16."""
FAR = 24
"""Loss scales up to 2^24 are tried, as dynamic scalers do."""


def severity(trace: Trace, declared: bool) -> Severity | None:
    """Error where the model is float16, warning where it runs so under autocast or is declared to; None otherwise."""
    if any(p.dtype == "float16" for p in trace.parameters.values()):
        return Severity.ERROR
    return Severity.WARNING if declared or any(output.dtype == "float16" for output in trace.outputs) else None


def beyond(trace: Trace) -> Nonfinite | None:
    """The first operation of a float16 model that made Inf, which may be an overflow (the `detailed` fact)."""
    if not any(p.dtype == "float16" for p in trace.parameters.values()):
        return None
    return next((one for one in trace.closest.nonfinite[:1] if one.what in ("overflow", "inf")), None)


def overflow(trace: Trace) -> Nonfinite | None:
    """The same, where a wider type holds what it made (the `headroom` fact)."""
    origin = beyond(trace)
    held = [one for seen in trace.facts.get("headroom", ()) for one in seen.headrooms]
    if origin is None or not held:
        return None
    if origin.what == "overflow":
        return origin if all(math.isfinite(one.activation) for one in held) else None
    return origin if any(largest_gradient(one) > LARGEST for one in held) else None


def flushed(headroom: Headroom, dtype: str, scale: float = 1.0) -> float:
    """Share of the non-zero gradient entries that become zero in a type, the loss multiplied by `scale` (a power of two)."""
    total = sum(count for _, count in headroom.exponents)
    if not total:
        return 0.0
    return sum(count for e, count in headroom.exponents if scale * 2.0**e <= 2.0 ** FLUSHED[dtype]) / total


def largest_gradient(headroom: Headroom) -> float:
    """A bound: no entry is larger."""
    return 2.0 ** headroom.exponents[-1][0] if headroom.exponents else 0.0


def helpful_scale(headroom: Headroom, share: float) -> float | None:
    """The smallest power of two that keeps all but `share` of the entries and overflows none; None if there is none."""
    scales = (2.0**k for k in range(FAR + 1))
    fits = (s for s in scales if flushed(headroom, "float16", s) <= share and s * largest_gradient(headroom) <= LARGEST)
    return next(fits, None)


def table(headroom: Headroom) -> str:
    """What each type would flush."""
    shares = ", ".join(f"{flushed(headroom, dtype):.2g} in {dtype}" for dtype in FLUSHED)
    return (
        f"share of gradient entries that become zero: {shares}; largest activation {headroom.activation:.2g} (float16: 6.6e+04)"
    )
