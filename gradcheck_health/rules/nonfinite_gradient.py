"""NaN or Inf on the way forward or back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import LOSS, Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import half_precision, origins, over_time

if TYPE_CHECKING:
    from torch import nn

_LOSS = "look at the targets and constants that the loss is computed from"


def nonfinite_gradient(trace: Trace) -> Iterator[Finding | Need]:
    """NaN or Inf appears in a gradient, an output or a weight.

    What it does: searches for NaN and Inf in every gradient, layer output and parameter, and names the first operation
    that made one out of finite values, in forward or in backward.

    Why it is bad: one NaN reaches every weight in one step, and nothing brings the model back.

    How it is measured: exactly, on all entries. Inf in the forward pass alone, or in a frozen parameter, is no fault (masks are
    filled with it); an error needs a non-finite gradient of a parameter, a loss that is no number, NaN in an output, or in
    a weight. NaN on the way back that a ReLU masks, so that no parameter gets it, is a warning, and Inf there is nothing. What
    float16 alone cannot hold is left to half-precision-overflow. In a watched loop the gradients of each measured step that
    is taken count; those that a loss scaler skips do not.

    When it is legitimate: never in a gradient. In the first steps of a loss scaler Inf is normal, and not judged
    here.

    How to fix: an epsilon inside log, sqrt, norm and division; logsumexp instead of exp; torch.where on the *input*
    of the dangerous operation, not on its result; float32 or bfloat16 where float16 overflows.

    How to silence: ignore={"nonfinite-gradient": "the reason"}.
    """
    if over_time.watched_only(trace):
        yield from _in_a_loop(trace)
        return
    # Inf in what is frozen is a mask
    weights = [p for p in trace.parameters.values() if p.value.nan or (p.value.inf and p.trainable)]
    gradients = [p for p in trace.parameters.values() if p.gradient is not None and not p.gradient.finite]
    outputs = [out for out in trace.outputs if out.stats is not None and out.stats.nan]
    lost = trace.loss is not None and not math.isfinite(trace.loss)
    reaches = bool(weights or gradients or outputs or lost)
    if not reaches and not _passes_by(trace):
        return
    if "detailed" not in trace.facts:
        yield Need("detailed")
        return
    seen = trace.closest
    if weights:
        places = tuple(Place(p.name, p.kind, seen.parameters[p.name].source, "the weight itself") for p in weights)
        yield _finding(
            f"{len(weights)} of {len(trace.parameters)} parameters hold NaN or Inf before the first pass (0 allowed)",
            places,
            trace,
            "initialise or load them again",
            cause="weights",
        )
        return
    if half_precision.beyond(trace) and "headroom" not in trace.facts:
        yield Need("headroom")
        return
    if half_precision.overflow(trace) is not None:
        return
    for origin in seen.nonfinite[:1]:
        if reaches or origin.what == "nan":
            yield _finding(
                origins.message(origin), (origins.place(origin, seen),), trace, origins.advice(origin), reaches, origin.op
            )
        return
    if lost and not gradients:
        yield _finding(f"the loss is {trace.loss} (a finite number allowed)", (Place(LOSS),), trace, _LOSS)
        return
    if not reaches:
        return
    places = tuple(Place(p.name, p.kind, seen.parameters[p.name].source) for p in gradients[::-1])
    places = places or tuple(Place(f"output{out.path}") for out in outputs)
    yield _finding(
        f"NaN or Inf arrives in {len(places)} places, first where named (0 allowed)",
        places,
        trace,
        "check the operation before it",
    )


def _in_a_loop(trace: Trace) -> Iterator[Finding]:
    for track in over_time.tracks(trace):
        moment = next((one for one in track.moments if one.nonfinite), None)
        if moment is None:
            continue
        lost = [i for i, size in enumerate(moment.gradients) if size is not None and not math.isfinite(size)]
        loss = "" if moment.loss is None else f"; the loss before it was {moment.loss:.3g}"
        yield Finding(
            rule="nonfinite-gradient",
            severity=Severity.ERROR,
            message=f"the gradients of {moment.nonfinite} of {len(track.parameters)} parameters are NaN or Inf "
            f"at step {moment.step} (0 allowed)",
            places=over_time.places(track, lost[::-1]) or over_time.named(track),
            details=(
                ("because", f"the step was taken with them, and the weights are lost{loss}"),
                ("help", "check the model with this batch: the check names the operation that makes the first NaN"),
            ),
            got=float(moment.nonfinite),
            bound=0.0,
        )


def _passes_by(trace: Trace) -> bool:
    """A gradient on the way that is not finite, though no parameter gets it."""
    layers = (layer.output_gradient for layer in trace.layers.values())
    return any(one is not None and not one.finite for one in layers) or any(math.isnan(p.gradient) for p in trace.flow)


def _finding(
    message: str, places: tuple[Place, ...], trace: Trace, help_: str, reaches: bool = True, cause: str = ""
) -> Finding:
    reached = sum(p.gradient is not None and not p.gradient.finite for p in trace.parameters.values())
    verb = "gets" if reached == 1 else "get"
    effect = f"{reached} of {len(trace.parameters)} parameters {verb} a non-finite gradient; it hides what else may be wrong"
    if reaches and not reached and trace.loss is not None:
        effect = f"the loss is {trace.loss:.3g}, though its derivative is finite"
    if not reaches:
        effect = "a ReLU or a mask before it takes it away, so that no parameter gets it: any change there lets it through"
    return Finding(
        "nonfinite-gradient",
        Severity.ERROR if reaches else Severity.WARNING,
        message,
        places,
        (("because", effect), ("help", help_)),
        # the logarithm of what is no probability
        effect_of=() if trace.loss is None or math.isfinite(trace.loss) else ("misread-loss",),
        got=float(reached),
        bound=0.0,
        cause=cause,
    )


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(8, 8), nn.LogSoftmax(-1))


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Distance(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            code = self.encoder(x)
            return torch.sqrt((code - code.detach()).square().sum(-1))

    return Distance()
