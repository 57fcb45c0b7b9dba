"""Activations are too large for half precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.evidence import Nonfinite
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import half_precision

if TYPE_CHECKING:
    from torch import nn

_HELP = "normalise inputs or activations, scale the logits, use bfloat16, or keep that layer in float32"


def half_precision_overflow(trace: Trace, *, loss_scale: float | None = None) -> Iterator[Finding | Need]:
    """A layer returns values beyond 65504, the largest number of float16, or the scaled gradient does.

    What it does: finds the largest value that a layer returns, and for the largest gradient times the loss scale.

    Why it is bad: it becomes Inf, then NaN; a gradient scaler skips the step, and does so again and again.

    How it is measured: the first operation that makes Inf in float16 and not in float64. Otherwise in float64, for a
    model in float16 (an error), under float16 autocast or with loss_scale given (a warning). In any other model the
    statistics that are there anyway give a note.

    When it is legitimate: layers that are kept in float32 inside a model in half precision.

    How to fix: normalise inputs and activations, scale logits, use bfloat16, or keep the layer in float32.

    How to silence: ignore={"half-precision-overflow:layer": "the reason"}.
    """
    severity = half_precision.severity(trace, declared=loss_scale is not None)
    if severity is None:
        sizes = {layer.name: layer.output.max or 0.0 for layer in trace.layers.values() if layer.output is not None}
        large = [trace.layers[name] for name, largest in sizes.items() if largest > half_precision.LARGEST]
        if large and not any(p.dtype == "bfloat16" for p in trace.parameters.values()):
            where = Place(large[0].name, large[0].kind, large[0].source)
            yield _finding(Severity.NOTE, max(sizes.values()), "a layer returns", where)
        return
    if "headroom" not in trace.facts:
        yield Need("headroom")
        return
    origin = half_precision.overflow(trace)
    if origin is not None:
        yield _made(trace, origin, severity)
        return
    for seen in trace.facts["headroom"]:
        for headroom in seen.headrooms:
            where = Place(headroom.layer, headroom.kind, trace.closest.layers[headroom.layer].source)
            if half_precision.LARGEST < headroom.activation < math.inf:
                yield _finding(severity, headroom.activation, "a layer returns", where)
            scaled = half_precision.largest_gradient(headroom) / 2 * (loss_scale or 1.0)
            if scaled > half_precision.LARGEST:
                yield _finding(severity, scaled, "the scaled gradient reaches", Place("", trace.model))


def _made(trace: Trace, origin: Nonfinite, severity: Severity) -> Finding:
    """The operation that made Inf of what float64 holds."""
    layer = trace.closest.layers.get(origin.layer)
    largest = max(one.activation for seen in trace.facts["headroom"] for one in seen.headrooms)
    what = "the derivative of " if origin.phase == "backward" else ""
    reached = sum(p.gradient is not None and not p.gradient.finite for p in trace.parameters.values())
    return Finding(
        rule="half-precision-overflow",
        severity=severity,
        message=f"{what}{origin.op} turns finite values into Inf: the largest number of float16 is 65504 (0 allowed)",
        places=(Place(origin.layer, layer.kind if layer else "", origin.source, origin.op),),
        details=(
            (
                "because",
                f"{reached} of {len(trace.parameters)} parameters get a non-finite gradient; it hides what else may be wrong",
            ),
            ("measured", f"in float64 nothing overflows; the largest value that a layer returns is {largest:.2g}"),
            ("help", _HELP),
        ),
        got=largest,
        bound=half_precision.LARGEST,
        cause=origin.op,
    )


def _finding(severity: Severity, got: float, what: str, place: Place) -> Finding:
    return Finding(
        rule="half-precision-overflow",
        severity=severity,
        message=f"{what} {got:.2g}, beyond the largest number of float16 (at most 65504 allowed)",
        places=(place,),
        details=(("help", _HELP),),
        got=got,
        bound=half_precision.LARGEST,
    )


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


def sick() -> nn.Module:
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.Linear(32, 4))
    with torch.no_grad():
        model.get_parameter("0.weight").mul_(1e6)
    return model
