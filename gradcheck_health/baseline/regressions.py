"""From shifts that fail to findings: which layer lost the gradient, between which layers, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradcheck_health.baseline.layer_matching import LayerMatching
from gradcheck_health.records.change import Shift
from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.profile import Profile
from gradcheck_health.records.trace import Trace


def regressions(trace: Trace, failing: Sequence[Shift], aligned: LayerMatching, now: Profile) -> Iterator[Finding]:
    """One for each cause.

    Args:
        trace: the model as it is, with the reference that it is compared with.
        failing: what moved too far.
        now: the profile of the model as it is.
    """
    flows = [shift for shift in failing if shift.metric in ("flow", "gain")]
    lost = [shift for shift in flows if shift.now is None]
    fallen = [shift for shift in flows if (shift.amount or 0.0) < 0]
    grown = [shift for shift in flows if (shift.amount or 0.0) > 0]
    if lost:
        yield _lost(trace, lost, now)
    for group in (fallen, grown):
        if group:
            yield _moved(trace, group, aligned, now)
    yield from (_share(trace, shift, now) for shift in failing if shift.metric not in ("flow", "gain"))


def _lost(trace: Trace, lost: Sequence[Shift], now: Profile) -> Finding:
    """The layer nearest to the output comes first: there the gradient stops."""
    noun = "1 layer" if len(lost) == 1 else f"{len(lost)} layers"
    return Finding(
        rule="regressed-gradient",
        severity=Severity.ERROR,
        message=f"no gradient arrives any more at {noun} that had one in the baseline (0 allowed)",
        places=tuple(_place(trace, shift.name) for shift in reversed(lost)),
        details=(("confirmed", _confirmed(trace, now)), ("help", _HELP)),
        got=float(len(lost)),
        bound=0.0,
    )


def _moved(trace: Trace, group: Sequence[Shift], aligned: LayerMatching, now: Profile) -> Finding:
    """One finding for all layers that the same change touches; it starts nearest to the output."""
    flows = [shift for shift in group if shift.metric == "flow"] or list(group)
    worst = max(flows, key=lambda shift: abs(shift.amount or 0.0))
    amount = worst.amount or 0.0
    gains = [shift for shift in group if shift.metric == "gain"]
    start = gains[-1].culprit if gains else flows[-1].name
    where = f"at {worst.name}" if worst.metric == "flow" else f"on its way to {worst.name}"
    verb = "fell" if amount < 0 else "rose"
    places = dict.fromkeys([start, *(shift.culprit for shift in reversed(gains))])
    layers = f"{len(flows)} of {len(now.levels)} layers {verb}"
    return Finding(
        rule="regressed-gradient",
        severity=Severity.ERROR,
        message=(
            f"the gradient {where} {verb} by {abs(amount):.2g} decades (powers of ten) since the baseline, "
            f"from {_times(worst.before)} to {_times(worst.now)} (at most {worst.allowed:.2g} decades allowed)"
        ),
        places=tuple(_place(trace, name) for name in places),
        details=(
            ("starts", f"{_place(trace, start)}; {_step(gains)}{layers}"),
            *_because(aligned, list(places)),
            ("confirmed", _confirmed(trace, now)),
            ("help", _HELP),
        ),
        got=amount,
        bound=worst.allowed if amount > 0 else -worst.allowed,
    )


def _step(gains: Sequence[Shift]) -> str:
    if not gains:
        return ""
    return f"it passed {_times(gains[-1].before)} and passes {_times(gains[-1].now)} on; "


def _times(decades: float | None) -> str:
    """Of the norm at the head, or at the layer before."""
    return f"{10.0 ** (decades or 0.0):.2g} x"


def _because(aligned: LayerMatching, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is different about the layers where it starts."""
    replaced = {entry.name: entry for entry in aligned.structure if entry.how == "replaced"}
    found = [replaced[name] for name in names if name in replaced]
    if found:
        first = found[0]
        rest = f", and so are {len(found) - 1} more such places" if len(found) > 1 else ""
        yield "because", f"{first.name} was {first.before} in the baseline and is {first.now} now{rest}"


def _share(trace: Trace, shift: Shift, now: Profile) -> Finding:
    before, value = shift.before or 0.0, shift.now or 0.0
    what = shift.metric.replace("_fraction", "")
    noun = "trainable parameters" if what == "reached" else "units"
    return Finding(
        rule="regressed-gradient",
        severity=Severity.ERROR,
        message=(
            f"the share of {what} {noun} went from {before:.1%} to {value:.1%} since the baseline "
            f"(at most {100 * shift.allowed:.2g} points allowed)"
        ),
        places=_share_places(trace, what),
        details=(("confirmed", _confirmed(trace, now)), ("help", _HELP)),
        got=value,
        bound=before + shift.allowed * (1 if value > before else -1),
    )


def _share_places(trace: Trace, what: str) -> tuple[Place, ...]:
    """The worst four."""
    seen = trace.closest
    if what == "reached":
        lost = [p for p in trace.parameters.values() if p.trainable and (p.gradient is None or p.gradient.is_zero)]
        return tuple(Place(p.name, p.kind, seen.parameters[p.name].source) for p in lost[:4]) or (_place(trace, ""),)
    bad = {a.layer: (a.off if what == "dead" else a.saturated) / a.units for a in trace.activations if a.units}
    worst = sorted((name for name in bad if bad[name]), key=lambda name: -bad[name])
    return tuple(_place(trace, name) for name in worst[:4]) or (_place(trace, ""),)


def _place(trace: Trace, name: str) -> Place:
    seen = trace.closest
    layer, parameter = seen.layers.get(name), seen.parameters.get(name)
    found = layer or parameter
    return Place(name, found.kind, found.source) if found is not None else Place(name)


def _confirmed(trace: Trace, now: Profile) -> str:
    reference = trace.reference
    assert reference is not None  # without one there is nothing to confirm
    over = "batches" if now.fixed else "seeds"
    count = f"mean over {len(now.seeds)} {over}" if len(now.seeds) > 1 else "one pass"
    return f"{count}, {len(reference.seeds)} in the baseline"


_HELP = "fix it; or, if the change is intended, run gradhealth baseline update and commit the file"
