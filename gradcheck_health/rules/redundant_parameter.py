"""Biases that a later operation subtracts again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.measurements import ParameterTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis.no_gradient import may_be_rounding

if TYPE_CHECKING:
    from torch import nn

_EPS = {"float32": 2**-23, "float64": 2**-52}
"""Half precision cancels too coarsely to tell."""
_SURE, _SUSPECT = 10.0, 100.0


def redundant_parameter(trace: Trace) -> Iterator[Finding | Need]:
    """A bias has no effect on the output: what follows subtracts it again.

    What it does: finds biases whose gradient is zero but for rounding, although the gradient of their layer's output
    is not: before a batch or instance norm, in the key projection of an attention.

    Why it is bad: it costs memory and time and learns nothing but rounding errors; weight decay and Adam still move it.
    Harmless, so only a note.

    How it is measured: the gradient of a bias is the sum of n output gradients. Where they cancel, its norm is below
    100 eps sqrt(n) of theirs; above 10 eps sqrt(n) it has to be another one when all weights move a little, and the same
    pass in float64 has to agree, in which a true zero shrinks a billionfold. On 288 sound models all such biases lie below
    50 eps sqrt(n), and the others above 170.

    When it is legitimate: it does no harm. Pretrained weights often contain such biases.

    How to fix: bias=False in the layer before the normalisation.

    How to silence: ignore={"redundant-parameter:features.*": "pretrained weights"}.
    """
    suspects = {p.name: share for p in trace.parameters.values() if (share := _cancels(trace, p)) < _SUSPECT}
    if not suspects:
        return
    # what stays when all weights move a little is no rounding, and needs no double precision to say so
    cheap = () if "float64" in trace.facts else ("jittered",)
    for fact in (*cheap, "float64"):
        unsure = any(share >= _SURE and may_be_rounding(trace, name) for name, share in suspects.items())
        if unsure and fact not in trace.facts:
            yield Need(fact)
            return
    wide = trace.facts.get("float64", ())
    sure = [
        name
        for name, share in suspects.items()
        if share < _SURE or any(_cancels(one, one.parameters[name]) < _SUSPECT for one in wide if name in one.parameters)
    ]
    if sure:
        seen = trace.closest
        biases = sum(p.trainable and p.role == "bias" for p in trace.parameters.values())
        yield Finding(
            rule="redundant-parameter",
            severity=Severity.NOTE,
            message=f"{len(sure)} of {biases} biases have no effect: the next operation subtracts them again (0 allowed)",
            places=tuple(Place(name, trace.parameters[name].kind, seen.parameters[name].source) for name in sure),
            details=(("help", "bias=False in these layers changes nothing but the number of parameters"),),
            got=float(len(sure)),
            bound=0.0,
        )


def _cancels(trace: Trace, p: ParameterTrace) -> float:
    """|sum of output gradients| / |output gradients|, in units of eps sqrt(n); infinite where nothing can be said."""
    layer = trace.layers.get(p.layer)
    known = p.role == "bias" and len(p.shape) == 1 and p.trainable and p.dtype in _EPS
    if not known or layer is None or layer.calls != 1 or layer.output_gradient is None or p.gradient is None:
        return math.inf
    arrived = layer.output_gradient
    rows = arrived.numel / max(p.shape[0], 1)
    if arrived.is_zero or not arrived.finite or not p.gradient.finite or rows < 2 or rows != int(rows):
        return math.inf
    return p.gradient.norm / arrived.norm / (_EPS[p.dtype] * math.sqrt(rows))


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(8, 16, bias=False),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Linear(16, 2),
    )


def sick() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(8, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Linear(16, 2),
    )
