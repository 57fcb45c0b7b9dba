"""Units that are equal and stay equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.evidence import Twins
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn

_SHARE = 0.5


def identical_units(trace: Trace) -> Iterator[Finding | Need]:
    """Units of a layer start equal and get equal gradients, so that no step can tell them apart, or only hundreds of steps can.

    What it does: finds weights at least half of whose units (rows of a Linear, channels of a convolution) hold exactly
    the values of another unit and get the same gradient, or nearly; and whole weights that do: an ensemble whose members
    were copied from one another is one model.

    Why it is bad: the layer computes one feature many times over, for ever or for long. The loss falls as far as a layer of
    one unit can bring it. Biases that were drawn at random tell constant weights apart in ten times as many steps as a
    random start needs (measured on nets of four layers, with seven activations).

    How it is measured: equal rows whose gradients agree to 1e-3, or eight rows of a layer of torch's and more, not of
    zeros, whose gradients lie within 0.3 of their mean; on the first batch, and still after three optimizer steps on
    several batches (steps without a gradient, behind a zero initialisation, aside). Rows that were not zero and that the
    steps have moved less than a tenth apart count as equal then.

    When it is legitimate: equal rows that get different gradients are not reported: zero heads, LoRA, tied copies that
    are routed apart, gains of normalisations, embeddings of unseen tokens. Weights of zeros whose like in other layers
    are told apart by the steps (the last of some hyper-connections, whose streams are summed up) are a note.

    How to fix: a random initialisation (Kaiming, Xavier, orthogonal) instead of zeros_, ones_ or constant_, at least in
    all layers but one.

    How to silence: ignore={"identical-units:mask_head.*": "the reason"}.
    """
    copies = _copies(trace)
    if not trace.twins and not copies:
        return
    suspects = {one.parameter for one in trace.twins}
    if any(one.silent for one in trace.twins):  # behind a zero initialisation: one step of the zeros tells most apart
        if "woken" not in trace.facts:
            yield Need("woken")
            return
        suspects = {name for name in suspects if not _told_apart(trace, name)}
    if not suspects and not copies:
        return
    if "after_steps" not in trace.facts:
        yield Need("after_steps")
        return
    later = [set(map(frozenset, _copies(one))) for one in trace.facts["after_steps"]]
    copies = [group for group in copies if all(frozenset(group) in step for step in later)]
    found = [entry for name in dict.fromkeys(one.parameter for one in trace.twins) if (entry := _alike(trace, name))]
    if not found and not copies:
        return
    if "detailed" not in trace.facts:
        yield Need("detailed")
        return
    if found:
        yield _finding(trace, found)
    elif copies:
        yield _whole(trace, copies)


def _told_apart(trace: Trace, name: str) -> bool:
    """Once the weights that are zero have moved, its units get different gradients."""
    for one in trace.facts["woken"]:
        if name in one.parameters:
            twins = [twin for twin in one.twins if twin.parameter == name]
            return not any(twin.silent or twin.alike >= _SHARE * twin.units for twin in twins)
    return False


def _copies(trace: Trace) -> list[list[str]]:
    """Groups of weights with the same values and the same gradient, as far as their statistics tell: copies in step."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for p in trace.parameters.values():
        g = p.gradient
        if p.trainable and p.role == "weight" and not p.value.is_zero and g is not None and g.max and g.finite:
            key = (p.kind, p.shape, p.value.rms, float(f"{g.rms:.4g}"), float(f"{g.max:.4g}"))
            groups.setdefault(key, []).append(p.name)
    return [group for group in groups.values() if len(group) > 1]


def _whole(trace: Trace, copies: list[list[str]]) -> Finding:
    seen = trace.closest
    first = copies[0]
    places = [Place(name, seen.parameters[name].kind, seen.parameters[name].source) for group in copies for name in group]
    return Finding(
        rule="identical-units",
        severity=Severity.ERROR,
        message=f"{len(first)} weights are copies of {first[0]} and get the same gradient (0 others allowed)",
        places=tuple(places),
        details=(
            ("because", f"{', '.join(first[:4])} hold the same values, and whatever follows treats them alike: one is enough"),
            ("help", "initialise each of them at random, or feed each something else"),
        ),
        got=float(len(first)),
        bound=0.0,
    )


def _alike(trace: Trace, name: str) -> Twins | None:
    """The evidence if the units are alike whenever they get a gradient: at first, on another batch, and for three steps."""
    found = None
    for one in (trace, *trace.facts["after_steps"][:4]):
        if any(twin.parameter == name and twin.silent for twin in one.twins):
            continue
        entry = next((twin for twin in one.twins if twin.parameter == name and twin.alike >= _SHARE * twin.units), None)
        if entry is None:
            return None
        found = found or entry
    return found


def _is_last_of_its_kind(trace: Trace, twin: Twins) -> bool:
    """The steps told the units of a weight of zeros apart in the layers like it before it: the design does, but for its end."""
    own = trace.parameters[twin.parameter]
    others = [trace.parameters[one.parameter] for one in trace.twins if one.size == 0.0 and one.parameter != own.name]
    apart = [p for p in others if (p.kind, p.shape) == (own.kind, own.shape) and _alike(trace, p.name) is None]
    names = list(trace.parameters)
    return twin.size == 0.0 and bool(apart) and all(names.index(p.name) < names.index(own.name) for p in apart)


def _finding(trace: Trace, found: list[Twins]) -> Finding:
    seen = trace.closest
    worst = max(found, key=lambda twin: twin.alike / twin.units)
    designed = all(_is_last_of_its_kind(trace, twin) for twin in found)
    places = []
    for twin in found:
        parameter = trace.parameters[twin.parameter]
        note = f"{twin.alike} of {twin.units} alike"
        places.append(Place(twin.parameter, parameter.kind, seen.parameters[twin.parameter].source, note))
    size = next((twin.size for twin in trace.twins if twin.parameter == worst.parameter), None)
    constant = "all their entries are zero" if size == 0.0 else f"all their entries are {size:.3g} in size" if size else ""
    because = constant or "their rows are copies of each other"
    return Finding(
        rule="identical-units",
        severity=Severity.NOTE if designed else Severity.ERROR,
        message=(
            f"{worst.alike} of {worst.units} units of {worst.parameter} are equal and learn alike"
            f"{'' if designed else ' (0 allowed)'}"
        ),
        places=tuple(places),
        details=(
            ("because", f"{because}, and their gradients are equal, or nearly: three steps did not tell them apart"),
            ("help", "initialise at random (kaiming_normal_, xavier_uniform_, orthogonal_), not with a constant"),
        ),
        got=float(worst.alike),
        bound=0.0,
    )


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(8, 16),
        nn.Tanh(),
        nn.Linear(16, 16),
        nn.Tanh(),
        nn.Linear(16, 2),
    )


def sick() -> nn.Module:
    from torch import nn

    model = healthy()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    return model
