"""What moved between two flow profiles by more than the noise of seeds explains."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gradcheck_health.baseline.bounds import BAD, FLOOR, SPREADS, UNITS, Bound
from gradcheck_health.baseline.layer_matching import LayerMatching, match_layers
from gradcheck_health.records.change import Shift, Verdict
from gradcheck_health.records.profile import Level, Profile

HIGH = 2.0
"""Decades above the head from which on a growing gradient is worse, and a falling one is fixed."""
LOW = -1.0
"""Decades below the head from which on a growing gradient is better."""
OTHER_WEIGHTS = 2.0
"""How much wider the tolerance is between two sets of weights whose spread over initialisations nobody measured."""


def compare(before: Profile, now: Profile, bounds: Sequence[Bound]) -> tuple[list[Shift], LayerMatching, list[str]]:
    """What moved, which layers were compared with which, and what limits the comparison.

    A shift that breaks one of the bounds fails. What none of them covers is reported where it exceeds the default tolerance.
    """
    aligned = match_layers(before, now)
    other = (before.fixed or now.fixed) and before.weights != now.weights
    wider = OTHER_WEIGHTS if other else 1.0
    notes = [f"{side} is not compared: {p.note}" for side, p in (("the baseline", before), ("the flow", now)) if p.note]
    shifts: list[Shift] = []
    before = _at_the_scale_of(now, before, aligned.levels)
    if not notes:
        shifts += _flow_shifts(before, now, aligned.levels, bounds, wider)
        shifts += _gain_shifts(before, now, aligned.levels, bounds, wider)
    shifts += _share_shifts(before, now, bounds, wider)
    if other:
        notes.append(
            "the weights are not those of the baseline, and what other weights do to the flow was not measured: tolerances are "
            "twice as wide (hand over a class or function instead of a model)"
        )
    shifts.sort(key=lambda shift: not shift.fails)
    return shifts, aligned, notes


def _at_the_scale_of(now: Profile, before: Profile, pairs: Mapping[str, str]) -> Profile:
    """The profile before, as if its layers handed out values of the size that they have now, as far as that explains a change.

    A tensor that is c times as large and whose gradient is 1 / c times as large is the same flow: in front of a normalisation
    both move with the weights, and the model computes the same. What changed is what |dL/dh| and |h| |dL/dh| agree on.
    """
    there = {origin: name for name, origin in pairs.items()}
    level_now = {level.name: level for level in now.levels}
    return dataclasses.replace(
        before, levels=tuple(_explained(level, level_now.get(there.get(level.name, ""))) for level in before.levels)
    )


def _explained(before: Level, now: Level | None) -> Level:
    if now is None or None in (before.decades, before.scale, now.decades, now.scale):
        return before
    noise = max(before.spread or 0.0, now.spread or 0.0)  # values vary over seeds as gradients do
    grown = (now.scale or 0.0) - (before.scale or 0.0)
    grown = math.copysign(max(0.0, abs(grown) - noise), grown)
    change = (now.decades or 0.0) - (before.decades or 0.0)
    by_scale = max(min(0.0, -grown), change) if change < 0 else min(max(0.0, -grown), change)
    return dataclasses.replace(before, decades=(before.decades or 0.0) + by_scale)


def _flow_shifts(
    before: Profile, now: Profile, pairs: Mapping[str, str], bounds: Sequence[Bound], wider: float
) -> Iterator[Shift]:
    old = {level.name: level for level in before.levels}
    exploded = max((level.decades for level in before.levels if level.decades is not None), default=0.0) > HIGH
    closed = any(level.closed for level in now.levels)
    for level in now.levels:
        origin = old.get(pairs.get(level.name, ""))
        if origin is None or origin.spread is None or level.spread is None:
            continue
        if None in (origin.decades, level.decades) and (origin.sometimes or level.sometimes or origin.closed or level.closed):
            continue
        allowed = _tolerance("flow", wider, origin.spread, level.spread)
        verdict = _flow_verdict(origin.decades, level.decades, exploded)
        if closed and level.decades is not None and level.decades <= HIGH:
            verdict = Verdict.MOVED  # the branches that start at zero carried a part of it: the gains say whether more is lost
        yield from _shift("flow", level, origin.decades, level.decades, allowed, verdict, bounds)


def _flow_verdict(before: float | None, now: float | None, exploded: bool) -> Verdict:
    if now is None or before is None:
        return Verdict.WORSE if now is None else Verdict.BETTER
    if now < before:
        return Verdict.BETTER if exploded and before > 0 and now >= -FLOOR["dec"] else Verdict.WORSE
    if now > HIGH:
        return Verdict.WORSE
    return Verdict.BETTER if before < LOW else Verdict.MOVED


def _gain_shifts(
    before: Profile, now: Profile, pairs: Mapping[str, str], bounds: Sequence[Bound], wider: float
) -> Iterator[Shift]:
    """Between neighbours that both sides have: a loss at one place stands out here, where noise has not piled up over depth."""
    position = {level.name: i for i, level in enumerate(before.levels)}
    matched = [level for level in now.levels if pairs.get(level.name) in position and level.gain_spread is not None]
    closed = any(level.closed for level in now.levels)
    matched = [level for level in matched if not level.closed]
    rank = {level.name: i for i, level in enumerate(now.levels)}
    exploded = max((level.decades for level in before.levels if level.decades is not None), default=0.0) > HIGH
    head = Level("", "", 0.0)
    for level, following in zip(matched, [*matched[1:], head], strict=False):
        origin = before.levels[position[pairs[level.name]]]
        beyond = before.levels[position[pairs[following.name]]] if following is not head else head
        if None in (level.decades, following.decades, origin.decades, beyond.decades):
            continue
        old = _spread_between(before.levels, position[origin.name], position.get(beyond.name, len(before.levels)))
        new = _spread_between(now.levels, rank[level.name], rank.get(following.name, len(now.levels)))
        if old is None or new is None:
            continue
        gain_before, gain_now = (
            (origin.decades or 0.0) - (beyond.decades or 0.0),
            (level.decades or 0.0) - (following.decades or 0.0),
        )
        fell = gain_now < gain_before and (level.decades or 0.0) < (origin.decades or 0.0) - FLOOR["dec"] / 2
        fell = fell and (not closed or gain_now < -FLOOR["dec"])
        verdict = (
            Verdict.WORSE if fell and _flow_verdict(origin.decades, level.decades, exploded) is Verdict.WORSE else Verdict.MOVED
        )
        allowed = _tolerance("gain", wider, old, new)
        yield from _shift("gain", level, gain_before, gain_now, allowed, verdict, bounds, following.name or level.name)


def _spread_between(levels: Sequence[Level], start: int, end: int) -> float | None:
    """Of the gain over several stretches: their variances add up. None where one of them is not known."""
    if end <= start:
        start, end = end, start  # the other side has them in the other order
    spreads = [level.gain_spread for level in levels[start:end]]
    return None if None in spreads else math.hypot(*(spread or 0.0 for spread in spreads))


def _share_shifts(before: Profile, now: Profile, bounds: Sequence[Bound], wider: float) -> Iterator[Shift]:
    model = Level("", "", None)
    for metric, share in now.shares.items():
        origin = before.shares.get(metric)
        if origin is not None and metric in UNITS:
            verdict = Verdict.WORSE if (share.value - origin.value) * BAD[metric] > 0 else Verdict.BETTER
            allowed = _tolerance(metric, wider, origin.spread, share.spread)
            yield from _shift(metric, model, origin.value, share.value, allowed, verdict, bounds)


def _tolerance(metric: str, wider: float, *spreads: float) -> float:
    return wider * max(FLOOR[UNITS[metric]], SPREADS * max(spreads))


def _shift(
    metric: str,
    level: Level,
    before: float | None,
    now: float | None,
    allowed: float,
    verdict: Verdict,
    bounds: Iterable[Bound],
    culprit: str = "",
) -> Iterator[Shift]:
    """The shift, if it is more than its tolerance or breaks a bound."""
    if before is None and now is None:
        return
    # all of it is lost, or came
    change = -math.inf if now is None else math.inf if before is None else now - before
    covering = [bound for bound in bounds if bound.covers(metric, level.name)]
    own = [bound for bound in covering if bound.amount is not None]
    broken = [bound.amount for bound in own if bound.broken(change)]
    beyond = abs(change) > allowed
    fails = bool(broken) or (beyond and verdict is Verdict.WORSE and len(covering) > len(own))
    if fails or beyond:
        limit = min((amount for amount in broken if amount is not None), default=allowed)
        yield Shift(metric, level.name, level.kind, before, now, limit, Verdict.WORSE if fails else verdict, fails, culprit)
