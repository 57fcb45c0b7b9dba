"""Units that pass no gradient on any sample."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Severity
from gradcheck_health.records.history import ROWS
from gradcheck_health.records.measurements import SQUASHING, ActivationTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time
from gradcheck_health.rules.analysis.no_gradient import starts_at_zero
from gradcheck_health.rules.analysis.statistics import binomial_tail, lower_share, student_tail
from gradcheck_health.rules.analysis.units import SAMPLES, may_wake, scale_of_inputs, unit_places

if TYPE_CHECKING:
    from torch import nn

WARNING, ERROR = 0.5, 0.95
IN_A_LOOP = 0.8
"""Of the rows of a weight, which in a loop are rows of zeros now and then in sound runs, too."""
_ODDS = 1e-4
_AWAKE = 0.8
"""If fewer than this share of them are still off a step away, it was the special point and no death."""
_HELP = "lower its bias or learning rate, use He initialisation, LeakyReLU or GELU, or normalise before the activation"


def dead_unit(trace: Trace, *, max_fraction: float | None = None, layers: str = "*") -> Iterator[Finding | Need]:
    """Units of a ReLU-like activation are off for every input: their derivative is 0, and they cannot recover.

    What it does: counts, layer by layer, the units (channels of a convolution, features of a linear layer) whose
    activation has a derivative of 0 at every sample and every position.

    Why it is bad: nothing flows through a dead unit, so nothing before it learns from it. 20 to 99 % dead units still
    train, slowly; a whole dead layer stops everything before it.

    How it is measured: over at least 256 samples, as a share of the units (Clopper-Pearson bound of 99 %) less the
    share that is always on: in deep layers the inputs resemble each other, and 31 % of a sound He network's units are
    off on 32 inputs at layer 20, but as many are never off. Units that are off by chance are recognised by a t test of the
    units' mean pre-activations, and units behind a zero initialisation by slightly perturbed weights, under which
    they wake up. Above 0.5 a warning, above 0.95 or a whole layer an error; a max_fraction that you set is a bound,
    and crossing it an error. In a watched loop a unit counts whose row of a weight's gradient was exactly zero at ten
    measured steps in a row, and 0.8 of them are a warning while others live. Works for nn.ReLU,
    F.relu, relu_, clamp(min=0), maximum(x, 0), ReLU6, hardswish.

    When it is legitimate: units pruned on purpose.

    How to fix: a smaller learning rate or bias, He initialisation, LeakyReLU, PReLU, ELU or GELU, a normalisation
    before the activation.

    How to silence: ignore={"dead-unit:decoder.*": "the reason"}; layers= narrows it to a pattern of names.
    """
    if over_time.watched_only(trace):
        yield from _in_a_loop(trace, IN_A_LOOP if max_fraction is None else max_fraction, layers)
        return
    limit = WARNING if max_fraction is None else max_fraction
    # further samples can only wake units: what is too few to be sure of on this batch stays so
    suspects = [a for a in trace.activations if _counted(a, layers) and _is_far_off(a, limit)]
    if suspects and starts_at_zero(trace):  # a step of those zeros alone costs less than more samples
        if "woken" not in trace.facts:
            yield Need("woken")
            return
        suspects = [a for a in suspects if not _wakes_up(trace, a, limit)]
    if not suspects:
        return
    if "more_samples" not in trace.facts:
        yield Need("more_samples")
        return
    counted = trace.under("more_samples")
    found = []
    for a in counted.activations:
        if _counted(a, layers) and _is_far_off(a, limit):
            share = max(0.0, lower_share(a.off, a.units) - a.on / a.units)
            whole = a.off == a.units
            if _by_chance(a) or not (share > limit or whole):
                continue
            if may_wake(counted, a):
                yield Need("more_samples", more=True)  # until they are enough
                return
            if a.samples < SAMPLES and counted.inputs.made_up:
                continue  # an expert that few of them reach
            found.append((whole or share > ERROR or max_fraction is not None, a))
    for fact in ("kicked", "after_steps", "detailed"):
        found = [(certain, a) for certain, a in found if not _wakes_up(trace, a, limit)]
        if found and fact not in trace.facts:
            yield Need(fact)
            return
    for severity in (Severity.ERROR, Severity.WARNING):
        members = [entry for entry in found if entry[0] is (severity is Severity.ERROR)]
        if members:
            yield _finding(trace, severity, members, limit)


def _is_far_off(a: ActivationTrace, limit: float) -> bool:
    """More than that share of its units is off, and not by the luck of so few."""
    return a.off > limit * a.units and (a.off == a.units or lower_share(a.off, a.units) > limit)


def _wakes_up(trace: Trace, a: ActivationTrace, limit: float) -> bool:
    """Its input was exactly zero: a zero initialisation before it, from which the first step leads away."""
    key = (a.layer, a.function, a.producer, a.units, a.order)
    later = [*trace.facts.get("woken", ()), *trace.facts.get("kicked", ()), *trace.facts.get("after_steps", ())[1:]]
    same = [b for one in later for b in one.activations if key == (b.layer, b.function, b.producer, b.units, b.order)]
    return any(b.off <= max(limit * b.units, _AWAKE * a.off) for b in same)


def _by_chance(a: ActivationTrace) -> bool:
    """Units that alike inputs keep off lie on both sides of zero: as many are always on, and their means do not lean."""
    if binomial_tail(a.off, a.off + a.on, 0.5) < _ODDS:
        return False
    return a.lean > 0 or student_tail(-a.lean, a.units - 1) > _ODDS


def _counted(activation: ActivationTrace, pattern: str) -> bool:
    if not activation.units or activation.function in SQUASHING or activation.by_rows:
        return False
    return any(fnmatchcase(name, pattern) for name in (activation.layer, activation.producer))


def _finding(trace: Trace, severity: Severity, members: list[tuple[bool, ActivationTrace]], limit: float) -> Finding:
    seen = trace.closest
    # the first dead layer on the way forward: behind a wholly dead one the others get nothing but a constant
    first = members[0][1]
    places = [place for _, a in members for place in unit_places(seen, a, f"{a.function}, {a.off} of {a.units} off")]
    worst = max(a.off / a.units for _, a in members)
    because = (
        f"the derivative of {first.function} was 0 at every one of {first.samples} samples; chance would leave as many units "
        f"always on, and {first.on} are"
    )
    return Finding(
        rule="dead-unit",
        severity=severity,
        message=f"{worst:.0%} of the units of {places[0].name or first.function} are dead (at most {limit:.0%} allowed)",
        places=tuple(places),
        details=(("because", because), *scale_of_inputs(trace), ("help", _HELP)),
        got=worst,
        bound=limit,
        cause=first.function,
    )


def _in_a_loop(trace: Trace, limit: float, layers: str) -> Iterator[Finding]:
    for track in over_time.tracks(trace):
        last = track.last
        if last is None or last.gradient == 0 or last.dead == 0 or not last.gradients:
            continue
        dead = {
            i: last.idle_rows[i] / row.rows
            for i, row in enumerate(track.parameters)
            if row.rows > 1 and last.gradients[i] is not None and last.idle_rows[i] > limit * row.rows
            if fnmatchcase(row.name.rpartition(".")[0], layers)
        }
        if not dead:
            continue
        worst = sorted(dead, key=lambda place: -dead[place])
        whole = dead[worst[0]] == 1
        yield Finding(
            rule="dead-unit",
            severity=Severity.ERROR if whole else Severity.WARNING,
            message=f"{dead[worst[0]]:.0%} of the units of {track.parameters[worst[0]].name} have had no gradient at "
            f"{ROWS} measured steps in a row (at most {limit:.0%} allowed)",
            places=over_time.places(track, worst),
            details=(
                ("because", "their rows of the weight's gradient are exactly zero, and other parameters learn"),
                ("help", _HELP),
            ),
            got=dead[worst[0]],
            bound=limit,
        )


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(16, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 4),
    )


def sick() -> nn.Module:
    from torch import nn

    middle = nn.Linear(64, 64)
    nn.init.constant_(middle.bias, -20.0)
    return nn.Sequential(
        nn.Linear(16, 64),
        nn.ReLU(),
        middle,
        nn.ReLU(),
        nn.Linear(64, 4),
    )
