"""What a flow finding says: where it starts, what is to blame, how sure it is, what would help."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcheck_health.records.finding import Place
from gradcheck_health.records.measurements import CutPoint
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow

_CEILINGS = {"Sigmoid": 0.25, "Tanh": 1.0, "Hardsigmoid": 1 / 6, "LogSigmoid": 1.0, "Relu": 1.0, "Softmax": 0.5}
"""Largest derivative of the function."""
_SQUASHING = ("Sigmoid", "Tanh", "Softmax", "Hardtanh", "Hardsigmoid")
_HELP = {
    "Sigmoid": "use ReLU, GELU or SiLU between layers, and sigmoid at the output only; or normalise, or add skip connections",
    "Tanh": "use Xavier initialisation with gain 5/3, or ReLU-like activations; or normalise, or add skip connections",
    "Softmax": "scale the logits (attention: by 1 / sqrt(d)), so that the softmax is not saturated",
    "linear": "initialise the weights for the activation (He: variance 2 / fan_in), or normalise, or add skip connections",
}
_GROWTH_HELP = (
    "initialise smaller (He: variance 2 / fan_in), normalise, scale residual branches by 1 / sqrt(depth), or clip the gradient"
)
_FACTOR_HELP = "remove the factor, or normalise after it"
_BRANCH_HELP = (
    "normalise at the start of each branch, scale the branches by 1 / sqrt(depth), or initialise their last layer with zeros"
)
_MATRIX_HELP = "normalise that matrix (an adjacency by its degrees, scores by sqrt(d)), or average where it sums"
_MATCHES = 3.0
"""Weights explain a gain up to this factor."""


def end_name(trace: Trace, point: CutPoint) -> str:
    """A cut point as one end of a stretch: its layer, with the class where the name alone is a number."""
    layer = trace.layers.get(point.layer)
    if not point.layer:
        return point.op.lower()
    return f"{point.layer} ({layer.kind})" if layer and point.layer.rpartition(".")[2].isdigit() else point.layer


def squashed(points: Sequence[CutPoint]) -> bool:
    """Most of the loss happens in a squashing function."""
    blame = flow.blame(points)
    return blame is not None and blame.op in _SQUASHING


def cause(trace: Trace, points: Sequence[CutPoint], growing: bool = False) -> str:
    """The operation that is to blame; "product" for a matrix that is no weight, "" for a flow of one point."""
    blame = _blame(trace, points, growing)
    return "" if blame is None else blame.op


def _blame(trace: Trace, points: Sequence[CutPoint], growing: bool) -> flow.Blame | None:
    return flow.blame(points, growing, {p.layer for p in trace.parameters.values() if p.role == "weight"})


def flow_places(trace: Trace, points: Sequence[CutPoint], growing: bool = False) -> tuple[Place, ...]:
    """Where the loss starts on the way back, then the worst culprits."""
    blame = _blame(trace, points, growing)
    if blame is None:
        return (place(trace, points[0]),)
    sign = -1 if growing else 1
    worst = sorted(blame.culprits, key=lambda stretch: sign * flow.log10(stretch.keeps))
    start = worst[0] if flow.shape(points) == "step" else blame.culprits[0]
    found = {(s.point.layer, s.point.op): place(trace, s.point) for s in (start, *worst)}
    return tuple(found.values())


def singles(trace: Trace) -> list[Place]:
    """Softmaxes and normalisations over a single value each."""
    found = []
    for a in trace.activations:
        if a.single:
            layer = trace.layers.get(a.layer)
            note = f"{a.function} of one value"
            found.append(Place(a.layer, layer.kind if layer else "", layer.source if layer else None, note))
    return found


def place(trace: Trace, point: CutPoint) -> Place:
    layer = trace.layers.get(point.layer)
    kind = layer.kind if layer is not None else point.op
    note = "" if kind.lower().startswith(point.op.lower()) or flow.kind(point.op) == "linear" else point.op.lower()
    return Place(point.layer, kind, point.source if layer is None or layer.source is None else layer.source, note)


def flow_details(
    trace: Trace, seen: Trace, points: Sequence[CutPoint], limit: float, growing: bool = False
) -> tuple[tuple[str, str], ...]:
    """The labelled lines: starts, because, confirmed, help."""
    blame = _blame(trace, points, growing)
    if blame is None:
        return ()
    count = len(blame.culprits)
    verb = "multiplies the norm by" if growing else "keeps"
    of = "" if growing else " of the norm"
    amount = f"each of {count} such places {verb} {blame.keeps:.2g}{of}" if count > 1 else f"it {verb} {blame.keeps:.2g}{of}"
    start = flow_places(seen, points, growing)[0]
    because, help_ = _because(trace, blame, growing)
    if not growing and count > 2 and not _renewed(trace, points):
        because += "; no normalisation and no skip connection in between makes up for it"
    lines = [("starts", f"{start}; {amount}"), ("because", because), ("confirmed", _confirmed(trace, limit, growing))]
    if flow.shape(points) == "exponential" and count > 2:
        lines.append(("depth", _depth(blame, limit, growing)))
    lines.append(("help", help_))
    return tuple(lines)


def _depth(blame: flow.Blame, limit: float, growing: bool) -> str:
    rate = abs(flow.log10(blame.keeps))
    verb = "the gradient doubles" if growing else "half of the gradient is lost"
    reach = math.ceil(abs(flow.log10(limit)) / rate)
    return f"exponential: {verb} every {math.log10(2) / rate:.2g} layers; at this rate {reach} layers reach the limit"


def _renewed(trace: Trace, points: Sequence[CutPoint]) -> bool:
    """Something on the way brings the norm back, or leads round the layers."""
    return any(point.op == "Add" for point in points) or any(
        "norm" in layer.kind.lower() and layer.calls for layer in trace.layers.values()
    )


def _because(trace: Trace, blame: flow.Blame, growing: bool) -> tuple[str, str]:
    """Why, and what would help."""
    name, help_ = blame.op.lower(), _GROWTH_HELP if growing else _HELP.get(blame.op, _HELP["linear"])
    if blame.op in ("linear", "product"):
        return _product(trace, blame, growing, help_)
    ceiling = _CEILINGS.get(blame.op)
    if ceiling is not None and not growing:
        flat = [a for a in trace.activations if a.function == name and a.units and a.saturated > a.units / 2]
        saturated = f"; {len(flat)} of its layers are saturated" if flat else ""
        return f"{name} keeps at most {ceiling:.2g} of a gradient; here {blame.keeps:.2g} on average{saturated}", help_
    if blame.op in ("Mul", "Div") and len(blame.culprits) == 1:
        return f"a factor of about {blame.keeps:.2g} ({blame.share:.0%} of the loss or growth)", _FACTOR_HELP
    if blame.op == "Add" and growing:
        text = f"the branches add as much as the skip path carries: each sum multiplies the norm by {blame.keeps:.2g}"
        return text, _BRANCH_HELP
    return f"{blame.share:.0%} of the {'growth' if growing else 'shrinkage'} happens in {name}, {blame.keeps:.2g} each", help_


def _product(trace: Trace, blame: flow.Blame, growing: bool, help_: str) -> tuple[str, str]:
    """A matrix product: with weights of a wrong size, or with something that is no weight."""
    layers = {stretch.point.layer for stretch in blame.culprits}
    weights = [p for p in trace.parameters.values() if p.layer in layers and p.role == "weight" and p.shape]
    size, verb = ("large", "gives") if growing else ("small", "keeps")
    gains = [p.value.rms * (p.value.numel / p.shape[0]) ** 0.5 for p in weights]
    mean = sum(gains) / len(gains) if gains else 0.0
    if not gains or not 1 / _MATCHES < blame.keeps / max(mean, 1e-300) < _MATCHES and _MATCHES > mean > 1 / _MATCHES:
        own = f" (the weights there would give {mean:.2g})" if gains else ""
        return f"a product with a matrix that is no weight of the layer {verb} {blame.keeps:.2g} on average{own}", _MATRIX_HELP
    scale = f"their weights have rms x sqrt(fan_in) = {mean:.2g} (He: 1.41, torch's default: 0.58)"
    return f"the weights are too {size}: a linear layer {verb} {blame.keeps:.2g} on average; {scale}", help_


def _confirmed(trace: Trace, limit: float, growing: bool) -> str:
    seeds = flow.seed_ratios(trace)
    agree = sum(value > limit if growing else value < limit for value in seeds)
    wide = [value for one in trace.facts.get("float64", ()) if (value := flow.ratio(one)) is not None]
    beyond = [value > limit if growing else value < limit for value in wide]
    precise = "; float64 agrees" if beyond and all(beyond) else ""
    steps = flow.fact_ratios(trace)[1:]
    moved = f"; {steps[0]:.2g} with perturbed weights, {steps[1]:.2g} after 3 optimizer steps" if len(steps) == 2 else ""
    return f"{agree} of {len(seeds)} seeds ({_varied(trace)}){precise}{moved}" if len(seeds) > 1 else f"1 seed{precise}{moved}"


def _varied(trace: Trace) -> str:
    """What the seeds really changed."""
    changed = [name for one in trace.facts.get("reseeded", ())[-1:] for name in one.varied]
    if not changed:
        return "a fixed model, batch and loss: each repeats the first"
    return f"another {' and '.join(changed)} each"
