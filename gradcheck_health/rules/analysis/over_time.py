"""What several rules read off the history of a training loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median

from gradcheck_health.records.finding import Place
from gradcheck_health.records.history import WEIGHTS, Moment, Track
from gradcheck_health.records.trace import Trace

WINDOW = 10
"""Measured steps that a verdict on the size of steps rests on."""
FALLEN = 0.5
"""A loss that has come down to this share is learnt, however small or large the steps were."""


def tracks(trace: Trace) -> tuple[Track, ...]:
    """Of the optimizers of a loop that took a step."""
    return () if trace.history is None else tuple(track for track in trace.history.tracks if track.steps or track.backwards)


def watched_only(trace: Trace) -> bool:
    """The loop is all that there is: no pass of the model was probed."""
    return trace.history is not None and not trace.layers


def window(track: Track, count: int = WINDOW) -> tuple[Moment, ...]:
    """The last measured steps that were taken and have columns; empty where there are fewer."""
    found = [one for one in track.moments[-count:] if one.gradients and not one.skipped]
    return tuple(found) if len(found) == count else ()


def start_loss(track: Track) -> float | None:
    """The first loss, or the median of the first five where that is larger; of LBFGS, which goes far in a step, the first."""
    values = [loss for _, loss in track.losses[:5]]
    if not values:
        return None
    return values[0] if track.closure else max(values[0], median(values))


def recent_loss(track: Track, count: int = 5) -> float | None:
    """The median of the last few: one batch says little."""
    values = [loss for _, loss in track.losses[-count:]]
    return median(values) if values else None


def fallen(track: Track, share: float = FALLEN) -> bool:
    """The loss is known and has come down to that share of what it was at first."""
    start, now = start_loss(track), recent_loss(track)
    return start is not None and now is not None and (now == 0 or now < share * start)


def signed(track: Track) -> bool:
    """The loss has been negative or zero at first: no multiple of it means anything."""
    return any(loss < 0 for _, loss in track.losses) or not (start_loss(track) or 0.0) > 0


def typical(moments: Iterable[Moment], track: Track, *, bound: float | None = None) -> dict[int, float]:
    """Position of each weight -> the median of its |dw| / |w| over these steps."""
    rows: dict[int, list[float]] = {}
    for one in moments:
        for i, ratio in enumerate(one.ratios):
            if ratio is not None and track.parameters[i].role in WEIGHTS:
                rows.setdefault(i, []).append(ratio)
    return {i: median(values) for i, values in rows.items()}


def places(track: Track, positions: Iterable[int], note: str = "") -> tuple[Place, ...]:
    rows = [track.parameters[i] for i in positions]
    return tuple(Place(row.name, row.kind, row.source, note) for row in rows)


def named(track: Track, note: str = "") -> tuple[Place, ...]:
    """An optimizer, where a finding is about all that it holds."""
    return (Place(track.optimizer, "optimizer", None, note),)


def by_loss(trace: Trace) -> Iterator[Track]:
    """The tracks whose loss is meant to fall: not where several optimizers take turns against one another."""
    if trace.history is not None and not trace.history.adversarial:
        yield from (track for track in tracks(trace) if track.losses)


def at(track: Track) -> str:
    """ "step 12", or "step 340 (measured every 10)"."""
    return f"step {track.steps}"
