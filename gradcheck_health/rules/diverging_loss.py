"""Losses that grow beyond what they were."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import LOSS, Finding, Place, Severity
from gradcheck_health.records.history import Track
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training

_RISING = 3
_ABOVE = 20


def diverging_loss(trace: Trace, *, max_growth: float = 1000.0, max_level: float = 2.0) -> Iterator[Finding]:
    """The loss of a training run is not finite, or grows far beyond what it was at first.

    What it does: fires at a loss that is NaN or Inf, at max_growth times the first loss while it rises three steps in a row,
    and where the last twenty losses all lie above max_level times the loss at first and do not fall, or fall from beyond
    max_growth.

    Why it is bad: the steps are larger than the slope is good for: the weights grow until something overflows.

    How it is measured: on the losses that the loop hands over (health.loss), that a closure returns or that the model gives
    back. At first is the first loss, for max_level the median of the first five where that is larger. Losses that were
    negative once have no multiples, and where several optimizers take turns the loss of one may rise: there only NaN and Inf
    count. A step that is somewhat too large for the curvature sends the loss up until it has come to where the slope is
    flatter, and back: in sound runs by 20 to 130 times, for 5 to 21 steps, so that a rise alone says little below max_growth.

    When it is legitimate: a full-batch run at a very large learning rate may pass through a peak and come back.

    How to fix: a smaller learning rate, a warm-up, clipped gradients, normalised inputs and targets.

    How to silence: ignore={"diverging-loss": "the reason"}, or larger bounds.
    """
    falls = {id(track) for track in over_time.by_loss(trace)}
    for track in over_time.tracks(trace):
        start = over_time.start_loss(track)
        if start is None:
            continue
        first, last = track.losses[0][1], track.losses[-1][1]
        if last <= min(max_growth, max_level) * first:
            continue
        values = [loss for _, loss in track.losses]
        if not math.isfinite(last):
            yield _finding(track, values, f"the loss is {last} at step {track.losses[-1][0]} (a finite number allowed)", None)
        elif id(track) in falls and not over_time.signed(track):
            steps = [b - a for a, b in zip(values[-_RISING - 1 :], values[-_RISING:], strict=False)]
            rising = len(steps) == _RISING and min(steps) > 0
            recent = values[-_ABOVE:]
            falling = max(steps) < 0 or sum(recent[_ABOVE // 2 :]) < sum(recent[: _ABOVE // 2])
            far = max(values) > max_growth * first > 0
            lowest = min(recent) if len(values) > _ABOVE else 0.0
            above = lowest > max_level * start and not falling or far and lowest > max_level * first
            if (last > max_growth * first > 0 and rising) or above:
                bound = max_level if above else max_growth
                message = f"the loss has gone from {first if far else start:.3g} to {last:.3g} (at most {bound:.3g} x allowed)"
                yield _finding(track, values, message, bound)


def _finding(track: Track, values: list[float], message: str, bound: float | None) -> Finding:
    moment = track.last
    size = (
        "" if moment is None or moment.median is None else f"; a step changes the weights by {moment.median:.2g} of their size"
    )
    return Finding(
        rule="diverging-loss",
        severity=Severity.ERROR,
        message=message,
        places=(Place(LOSS), *over_time.named(track)),
        details=(
            ("because", f"the learning rate is {moment.lr[0] if moment and moment.lr else math.nan:.2g}{size}"),
            ("help", "a smaller learning rate or a warm-up; clip the gradients; normalise inputs and targets"),
        ),
        got=None if bound is None else values[-1] / values[0] if values[0] else values[-1],
        bound=bound,
    )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]
    return Training(model, x, nn.MSELoss(), y, optimizer=optimizer, steps=20)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=8.0)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]
    return Training(model, x, nn.MSELoss(), y, optimizer=optimizer, steps=20)
