"""A history as a flat table of numbers, for loggers: aggregates and the worst layer, not every layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.history import History, Moment

PREFIX = "gradhealth/"


def flat(history: History, findings: Sequence[Finding]) -> dict[str, float]:
    """The last measured step; of several optimizers over all of them. Names hold nothing but letters, digits, _ and /."""
    last = [track.last for track in history.tracks if track.last is not None]
    found: dict[str, float | None] = {
        "sick": float(sum(finding.severity is not Severity.NOTE for finding in findings)),
        "steps": float(history.steps),
    }
    if last:
        found |= {
            "grad_norm": math.sqrt(sum(one.gradient**2 for one in last)),
            "weight_norm": math.sqrt(sum(one.weight**2 for one in last)),
            "update_ratio/min": _least(one.slowest for one in last),
            "update_ratio/median": _middle(last),
            "update_ratio/max": _most(one.fastest for one in last),
            "dead_share": max(one.dead for one in last),
            "lr": max((lr for one in last for lr in one.lr), default=0.0),
            "clipped": _least(one.clipped for one in last),
            "loss": last[-1].loss,
        }
    return {f"{PREFIX}{name}": value for name, value in found.items() if value is not None}


def fastest_layer(history: History) -> str:
    """The weight that a step moves most, by name; "" where nothing moves."""
    found: list[tuple[float, str]] = []
    for track in history.tracks:
        if track.last is not None:
            rows = zip(track.last.ratios, track.parameters, strict=False)
            found += [(ratio, row.name) for ratio, row in rows if ratio is not None]
    return max(found, default=(0.0, ""))[1]


def _least(values: object) -> float | None:
    known = [one for one in values if one is not None]  # type: ignore[attr-defined]
    return min(known, default=None)


def _most(values: object) -> float | None:
    known = [one for one in values if one is not None]  # type: ignore[attr-defined]
    return max(known, default=None)


def _middle(last: Sequence[Moment]) -> float | None:
    known = sorted(one.median for one in last if one.median is not None)
    return known[len(known) // 2] if known else None
