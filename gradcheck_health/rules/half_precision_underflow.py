"""Gradients are too small for half precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import half_precision

if TYPE_CHECKING:
    from torch import nn


def half_precision_underflow(
    trace: Trace, *, max_share: float = 0.05, loss_scale: float | None = None
) -> Iterator[Finding | Need]:
    """Entries of the gradient are so small that they become zero in float16.

    What it does: measures gradients in float64 and counts the entries that float16 would flush, for a model in float16 or
    under float16 autocast, or one whose loss_scale is given because it is to be trained so.

    Why it is bad: a gradient that becomes zero teaches nothing. A part of the model stands still, and no error says so.

    How it is measured: the share of the non-zero entries, of parameter gradients and of gradients of what layers
    return, at or below 2^-25 / loss_scale (default 1), above max_share (default 5 %). An error in a float16 model, a warning
    under autocast or with loss_scale given. In any other model whole tensors below 2^-25 under a real loss are a note,
    which costs nothing. The report says what bfloat16 and float32 would keep, and which loss scale would do.

    When it is legitimate: gradients that are tiny on purpose and do not matter.

    How to fix: a gradient scaler, bfloat16, a loss that is not divided by large numbers, normalisation.

    How to silence: ignore={"half-precision-underflow": "the reason"}, or loss_scale= for the scale that you train with.
    """
    severity = half_precision.severity(trace, declared=loss_scale is not None)
    if severity is None:
        yield from _lost_altogether(trace, max_share)
        return
    if "headroom" not in trace.facts:
        yield Need("headroom")
        return
    for seen in trace.facts["headroom"]:
        for headroom in seen.headrooms:
            share = half_precision.flushed(headroom, "float16", loss_scale or 1.0)
            if share <= max_share:
                continue
            scale = half_precision.helpful_scale(headroom, max_share / 5)
            advice = (
                "use bfloat16: no loss scale does" if scale is None else f"a loss scale of {scale:.0f} would do; or bfloat16"
            )
            yield Finding(
                rule="half-precision-underflow",
                severity=severity,
                message=f"{share:.0%} of the gradient's entries become zero in float16 (at most {max_share:.0%} allowed)",
                places=(Place("", trace.model),),
                details=(("measured", half_precision.table(headroom)), ("help", advice)),
                got=share,
                bound=max_share,
            )


def _lost_altogether(trace: Trace, max_share: float) -> Iterator[Finding]:
    """Gradients whose largest entry is below what float16 holds; under a random projection their size means nothing."""
    if trace.objective == "random projection":
        return
    seen = [(p, p.gradient.max) for p in trace.parameters.values() if p.gradient is not None and p.gradient.max]
    lost = [p for p, largest in seen if largest <= 2.0**-25]
    total = sum(p.value.numel for p, _ in seen)
    share = sum(p.value.numel for p in lost) / total if total else 0.0
    if share > max_share:
        yield Finding(
            rule="half-precision-underflow",
            severity=Severity.NOTE,
            message=f"{share:.0%} of the gradient would become zero in float16, without a loss scale ({len(lost)} parameters)",
            places=tuple(Place(p.name, p.kind, p.source) for p in lost),
            details=(("help", "in half precision use bfloat16 or a gradient scaler"),),
            got=share,
            bound=max_share,
        )


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).half()


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Scaled(nn.Module):
        """A temperature of a million, in float16."""

        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)]
            self.body = nn.Sequential(*layers).half()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.body(x) / 1000 / 1000
            return y

    return Scaled()
