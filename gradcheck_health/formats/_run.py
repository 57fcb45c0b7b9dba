"""A training run that was watched, in one line."""

from __future__ import annotations

from gradcheck_health.records.history import History
from gradcheck_health.records.wording import counted


def line(history: History) -> str:
    """`50 steps of AdamW, 50 measured; loss 1.58 -> 0.394; a step moves a weight by 0.0058 of its size`."""
    parts = []
    for track in history.tracks:
        text = f"{counted(track.steps, 'step')} of {track.optimizer}, {len(track.moments)} measured"
        if track.losses:
            text += f"; loss {track.losses[0][1]:.3g} -> {track.losses[-1][1]:.3g}"
        if track.last is not None and track.last.median is not None:
            text += f"; a step moves a weight by {track.last.median:.2g} of its size"
        parts.append(text)
    return "; ".join(parts)
