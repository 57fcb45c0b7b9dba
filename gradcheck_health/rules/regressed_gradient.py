"""The gradient flows worse than in the baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.alignment import Alignment
from gradcheck_health.change import Shift
from gradcheck_health.comparison import compare
from gradcheck_health.gate import parse_all
from gradcheck_health.profile import Profile
from gradcheck_health.profiling import profile_of
from gradcheck_health.report import Finding, Need, Place, Severity
from gradcheck_health.trace import Trace

if TYPE_CHECKING:
    from torch import nn

_HELP = "mend it; or, if it is meant, write the baseline anew (gradhealth baseline update) and commit it"


def regressed_gradient(trace: Trace, *, fail_if: tuple[str, ...] = ()) -> Iterator[Finding | Need]:
    """The gradient flows worse than in the baseline: less of it arrives at a layer, or far more.

    What it does: holds the flow profile of the model against that of a baseline. It finds nothing where there is none.

    Why it is bad: a change of the model that was not meant to touch the flow did. It may still lie within the limits of
    the other rules, and the next change may start from there.

    How it is measured: per layer the decades log10(|dL/dh| / |dL/dh_head|) and their difference from one layer to the
    next, and the shares of dead units, of saturated units and of parameters that a gradient reaches; means over the
    seeds, layers paired by name, and where names moved by class and shape. A suspicion at one seed is looked at again
    under others. The default tolerance is max(0.5 decade, 4 x seed spread), for a share max(5 points, 4 x seed spread),
    and fails on what is bad: a fall of the flow, a rise above a hundred times the head, more dead or saturated units,
    fewer parameters reached. fail_if replaces it by expressions such as "flow:-1dec", "flow@encoder.*:-0.3dec",
    "dead_fraction:+5pp", or "flow" for the default tolerance of one metric.

    When it is legitimate: a change of architecture moves the flow for good reasons. Then the baseline is out of date.

    How to fix: look at the place where it starts, and at what is different there from the baseline.

    How to silence: gradhealth baseline update, or ignore={"regressed-gradient:encoder.*": "the reason"}.
    """
    if trace.reference is None:
        return
    bounds = parse_all(fail_if)
    at_first, _, _ = compare(trace.reference, profile_of(dataclasses.replace(trace, facts={})), bounds)
    if not any(shift.fails for shift in at_first):
        return
    # all seeds, whatever the first few say: a mean that is judged whenever it happens to pass is no mean
    if trace.facts.get("reseeded") != () and len(trace.facts.get("reseeded", ())) + 1 < trace.rounds:
        yield Need("reseeded", more=True)
        return
    now = profile_of(trace)
    shifts, aligned, _ = compare(trace.reference, now, bounds)
    failing = [shift for shift in shifts if shift.fails]
    if not failing:
        return
    if "detailed" not in trace.facts:
        yield Need("detailed")
        return
    yield from findings(trace, failing, aligned, now)


def findings(trace: Trace, failing: Sequence[Shift], aligned: Alignment, now: Profile) -> Iterator[Finding]:
    """One for each cause.

    Args:
        trace: the model as it is, with the reference that it is held against.
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


def _moved(trace: Trace, group: Sequence[Shift], aligned: Alignment, now: Profile) -> Finding:
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
            f"the gradient {where} {verb} by {abs(amount):.2g} decades against the baseline, from {_times(worst.before)} to "
            f"{_times(worst.now)} (at most {worst.allowed:.2g} decades allowed)"
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


def _because(aligned: Alignment, names: Sequence[str]) -> Iterator[tuple[str, str]]:
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
            f"the share of {what} {noun} went from {before:.1%} to {value:.1%} against the baseline "
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
    count = f"mean over {len(now.seeds)} {over}" if len(now.seeds) > 1 else "one look"
    return f"{count}, {len(reference.seeds)} in the baseline"


def before() -> nn.Module:
    """What the baseline of both examples is written for."""
    from torch import nn

    blocks = [layer for _ in range(6) for layer in (nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU())]
    return nn.Sequential(*blocks, nn.Linear(32, 4))


def healthy() -> nn.Module:
    """Wider, and with another activation: as much of the gradient arrives."""
    from torch import nn

    blocks = [layer for _ in range(6) for layer in (nn.Linear(32, 32), nn.LayerNorm(32), nn.GELU())]
    return nn.Sequential(*blocks, nn.Linear(32, 8))


def sick() -> nn.Module:
    """One layer squashes what the others pass; no limit of another rule is crossed."""
    from torch import nn

    blocks = [layer for _ in range(6) for layer in (nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU())]
    squashed = nn.LayerNorm(32)
    nn.init.constant_(squashed.weight, 0.02)
    return nn.Sequential(*blocks[:7], squashed, nn.Sigmoid(), *blocks[9:], nn.Linear(32, 4))
