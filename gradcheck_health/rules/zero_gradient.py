"""Weights whose gradient is exactly zero."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.measurements import ParameterTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import listed
from gradcheck_health.rules.analysis import flow, flow_wording
from gradcheck_health.rules.analysis.no_gradient import may_be_rounding, needs, supply, suspects, why_all, zeroed_of
from gradcheck_health.rules.analysis.reasons import SOUND, Why

if TYPE_CHECKING:
    from torch import nn

_FOLLOWING = (Why.INPUT, Why.WEIGHTS)
"""Reasons that may have another one behind them."""
_EFFECTS = {
    **dict.fromkeys((Why.DEAD, Why.SATURATED), ("dead-unit", "saturated-activation")),
    Why.UNDERFLOW: ("vanishing-gradient",),
}
"""Reasons that another rule reports as the cause."""
_HELP = {
    Why.SINGLE: "normalise, or take the softmax, over the axis with several entries; for one unit use sigmoid",
    Why.DEAD: "see dead-unit: lower the bias, use LeakyReLU or GELU, or normalise before the activation",
    Why.SATURATED: "see saturated-activation: smaller weights or inputs in front of it, or a normalisation",
    Why.UNDERFLOW: "the gradient is too small for float32: see vanishing-gradient, or scale the loss",
    Why.FACTOR: "check the factor: a weight left at 0, a mask of zeros or the wrong way round, a dropout of everything",
    Why.INPUT: "look at what goes in: a mask of zeros, a dropout of everything, an input that is never filled",
    Why.WEIGHTS: "initialise the weights behind it, or lift the mask from them",
    Why.STUCK: "initialise one of the two at random (of LoRA A, and B with zeros; of a stack all layers)",
    Why.CANCELS: "detach one of the two ways: z + (code - z).detach() passes the gradient, z + (code - z) none",
}
_ALGEBRA = "normalise over an axis of several entries; of a mean, a sum of probabilities or an angle look at the axis"
FAR, AWAKE = 2e-6, 1e-5
"""Elasticity over the largest below which rounding may be all there is, and from which on it is not, after a few steps."""
_SAME = (
    "look for two scores of one layer, a weight that is divided by itself, or a term that a softmax, a mean or a "
    "normalisation behind it takes out again"
)
_STOPPED = "look for a mask that is always off, or a constant between there and the output"


def zero_gradient(trace: Trace) -> Iterator[Finding | Need]:
    """The gradient of a trainable weight is exactly zero, in every pass.

    What it does: finds weights that get a gradient of nothing but zeros and explains it before judging.

    Why it is bad: the weight never moves, though it is connected: it is multiplied by zero, masked, or sits before
    something constant.

    How it is measured: every entry is exactly 0 in the union of up to nine passes over several batches and three
    optimizer steps, and in float64 too; or nothing but rounding arrives at the first layer, which float64 shrinks ten
    thousandfold (a normalisation over one value). Zeros that wake up behind a zero initialisation (LoRA, zero-gamma, ReZero) or
    that routing explains are a note; zeros that a cut or dead units explain belong to cut-gradient and dead-unit.

    When it is legitimate: the recurrent weight of a single step, whose hidden state is zero, and queries and keys of an
    attention over one key, where a longer batch has more (notes). One entry that a weight's shape or top-1 fixes is none.

    How to fix: find the first operation behind the weight that is constant: a mask, a factor of zero, a saturated
    function.

    How to silence: ignore={"zero-gradient:mask_head.*": "the reason"}.
    """
    yield from list(_by_algebra(trace)) or _rounded(trace)
    lost = suspects(trace, zeros=True)
    if not lost:
        return
    missing = needs(trace, zeros=True)
    if missing:
        yield from missing
        return
    causes: dict[tuple[Why, str | None], list[ParameterTrace]] = {}
    for parameter, reason in zip(lost, why_all(trace, lost), strict=True):
        # one finding for a place that explains; where nothing does, one for all
        zeroed = None if reason in (*SOUND, Why.STUCK) else zeroed_of(trace, parameter.name)
        causes.setdefault((reason, zeroed.source or zeroed.layer if zeroed else None), []).append(parameter)
    for (reason, _), members in causes.items():
        if reason is not Why.CUT:
            yield _finding(trace, reason, members, behind=tuple(causes))


def _by_algebra(trace: Trace) -> Iterator[Finding | Need]:
    """Nothing but rounding comes through: float64 shrinks it further."""
    ratios = [*flow.fact_ratios(trace), *flow.opened_ratios(trace)]
    if not ratios or not 0.0 < max(ratios) < flow.SGD_LEARNS_ABOVE:  # the weights before exact zeros are examined one by one
        return
    cheap = ("opened",) if flow.shrinks(trace) else ()
    for fact in (*cheap, "float64", "kicked", "after_steps", "detailed"):  # the cheapest that can clear it comes first
        if fact not in trace.facts:
            yield Need(fact)
            return
        if fact != "opened" and not flow.is_rounding(trace):
            return
    seen, kept, wide = trace.closest, max(ratios), flow.ratio(trace.facts["float64"][0]) or 0.0
    singles = flow_wording.singles(seen)
    places = tuple({place.name: place for place in (*flow_wording.flow_places(seen, seen.flow), *singles)}.values())
    single = f"{singles[0].note} leaves nothing of it, or its sign" if singles else "what is computed there cannot change"
    yield Finding(
        rule="zero-gradient",
        severity=Severity.ERROR,
        message=(
            f"no gradient but rounding arrives at {flow_wording.end_name(seen, seen.flow[0])}: {kept:.2g} x in float32, "
            f"{wide:.2g} x in float64 (at least {flow.SGD_LEARNS_ABOVE:.2g} allowed)"
        ),
        places=places,
        details=(("starts", str(places[0])), ("because", f"the derivative is zero by algebra: {single}"), ("help", _ALGEBRA)),
        got=wide,
        bound=flow.SGD_LEARNS_ABOVE,
    )


def _rounded(trace: Trace) -> Iterator[Finding | Need]:
    """Weights beside the way to the first layer that get nothing but rounding: float64 shrinks it further."""
    narrow, wide = _elasticities(trace), {}
    names = {name for name in _far_below(trace) if narrow[name] > 0.0}  # zeros are examined one by one
    for one in trace.facts.get("opened", ()):  # behind a factor near zero all is small
        names &= _far_below(one, AWAKE) if one.parameters else names
    cheap = () if "float64" in trace.facts else ("jittered",)
    sizes = ("resized",) if trace.inputs.made_up else ()
    for fact in (*cheap, "float64", "after_steps", *sizes, "detailed"):  # the cheapest that can clear them of it comes first
        if not names:
            return
        if fact not in trace.facts:
            yield Need(fact)
            return
        if fact == "resized":  # a softmax over a single key has more of them where there is more to see
            names -= {name for one in trace.facts[fact] for name in one.parameters}
        elif fact == "jittered":
            names = {name for name in names if may_be_rounding(trace, name)}
        elif fact == "float64":
            wide = _elasticities(trace.facts[fact][0]) if trace.facts[fact] else {}
            names = {name for name in names if name in wide and wide[name] < 1e-4 * narrow[name]}
        elif fact == "after_steps":  # a step may wake them
            names = set.intersection(names, *(_far_below(one, AWAKE) for one in trace.facts[fact][:4]))
    if names:
        members = _frontier([trace.parameters[name] for name in names])
        worst = max(names, key=lambda name: narrow[name])
        yield Finding(
            rule="zero-gradient",
            severity=Severity.ERROR,
            message=(
                f"{len(names)} of {len(narrow)} weights get nothing but rounding: |w| |g| is {narrow[worst]:.2g} of the "
                f"largest in float32, {wide[worst]:.2g} in float64 (at least {FAR:.2g} expected)"
            ),
            places=tuple(Place(p.name, p.kind, trace.closest.parameters[p.name].source) for p in members),
            details=(
                ("starts", f"between {members[0].layer or 'the model'} and the output"),
                ("at", listed([p.name for p in members])),
                ("because", "what is computed from them is the same whatever they are: their derivative is zero by algebra"),
                ("help", _SAME),
            ),
            got=wide[worst],
            bound=FAR,
        )


def _far_below(trace: Trace, limit: float = FAR) -> set[str]:
    """Weights in float32 whose elasticity lies far below the largest."""
    found = _elasticities(trace)
    return {name for name, share in found.items() if share < limit and trace.parameters[name].dtype == "float32"}


def _elasticities(trace: Trace) -> dict[str, float]:
    """|w| |g| of every trainable weight, over the largest: it does not depend on how the weights are scaled.

    What is small for another reason than cancelling out is no suspect: a weight that starts near zero counts with the median
    size of the others, and what small factors (LayerScale) shrink on the way back is divided by them.
    """
    weights = [
        (p, p.gradient.norm)
        for p in trace.parameters.values()
        if p.trainable and p.role == "weight" and p.gradient is not None and p.gradient.finite and p.value.finite
    ]
    largest = max((p.value.norm * norm for p, norm in weights), default=0.0)
    if not largest:
        return {}
    usual = statistics.median(p.value.rms for p, _ in weights)
    sizes = {p.name: max(p.value.rms, usual) * math.sqrt(p.value.numel) for p, _ in weights}
    return {p.name: sizes[p.name] * norm / p.shrunk / largest for p, norm in weights}


def _finding(trace: Trace, reason: Why, members: list[ParameterTrace], behind: tuple[tuple[Why, str | None], ...]) -> Finding:
    weights = sum(p.trainable and p.role in ("weight", "embedding") for p in trace.parameters.values())
    sound = reason in SOUND
    # zeros that come forward, or weights of zeros, have their own cause further up, where there is another
    follows = reason in _FOLLOWING and any(other not in (*SOUND, *_FOLLOWING) for other, _ in behind)
    allowed = "" if sound or follows else " (0 allowed)"
    return Finding(
        rule="zero-gradient",
        severity=Severity.NOTE if sound or follows else Severity.ERROR,
        message=f"{len(members)} of {weights} weights have a gradient of zeros: {reason.value}{allowed}",
        places=tuple(Place(p.name, p.kind, trace.closest.parameters[p.name].source) for p in _frontier(members)),
        details=supply(trace, reason) if sound else tuple(_details(trace, reason, members)),
        got=float(len(members)),
        bound=0.0,
        effect_of=_EFFECTS.get(reason, ()),
    )


def _frontier(members: list[ParameterTrace]) -> list[ParameterTrace]:
    """Nearest to the output first: that is where the gradient is lost."""
    return sorted(members, key=lambda p: -p.order)


def _details(trace: Trace, reason: Why, members: list[ParameterTrace]) -> Iterator[tuple[str, str]]:
    nearest = _frontier(members)[0]
    zeroed = zeroed_of(trace, nearest.name)
    if zeroed is None:
        yield "starts", f"between {nearest.layer or 'the model'} and the output: no gradient comes back as far as there"
    else:
        layer = trace.layers.get(zeroed.layer)
        yield "starts", str(Place(zeroed.layer, layer.kind if layer else "", zeroed.source, zeroed.op.strip("_")))
    yield "at", listed([p.name for p in _frontier(members)])
    yield "help", _HELP.get(reason, _STOPPED)


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main = nn.Linear(8, 2)
            self.side = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            total: torch.Tensor = self.main(x) + 0.0 * self.side(x)
            return total

    return Masked()
