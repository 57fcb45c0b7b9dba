"""Losses that stand still."""

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

_SPAN = 10
_WARM = 0.5


def stagnant_loss(trace: Trace, *, min_fall: float = 0.01, min_steps: int = 50) -> Iterator[Finding]:
    """The loss has not moved in fifty steps.

    What it does: smooths the losses over ten steps and compares the best of these means with the first. Fires where it lies
    above 1 - min_fall of it after min_steps steps at a learning rate that is no warm-up, and where the noise is too small
    to hide such a fall. A note: it says that something is to be looked at, not what.

    Why it is bad: the run costs what a run costs, and learns nothing: shuffled labels, a learning rate that is too small, a
    model that cannot tell its inputs apart.

    How it is measured: on the losses that the loop shows. In a watched loop the whole check then runs on the weights as they
    are, with the loop's own batch, and names the cause where it lies in the gradients.

    When it is legitimate: losses that are no measure of progress (policy gradients), and tasks that begin with a plateau.

    How to fix: where the check finds nothing the gradients flow well: look at labels, data and learning rate.

    How to silence: ignore={"stagnant-loss": "the reason"}.
    """
    for track in over_time.by_loss(trace):
        if len(track.losses) < min_steps:
            continue
        start = over_time.start_loss(track) or 0.0
        if sum(loss for _, loss in track.losses[-_SPAN:]) / _SPAN <= (1 - min_fall) * start or over_time.signed(track):
            continue
        values = _warmed_up(track)
        if len(values) < min_steps:
            continue
        means = [sum(values[i : i + _SPAN]) / _SPAN for i in range(len(values) - _SPAN + 1)]
        best = min(means)
        noise = math.sqrt(sum((b - a) ** 2 for a, b in zip(values, values[1:], strict=False)) / (2 * (len(values) - 1)))
        if noise / math.sqrt(_SPAN) < 0.02 * start and (1 - min_fall) * start < best <= start:
            yield Finding(
                rule="stagnant-loss",
                severity=Severity.NOTE,
                message=f"the loss is {best:.4g} at best after {track.steps} steps and was {start:.4g} at first "
                f"(a fall of {min_fall:.0%} wanted)",
                places=(Place(LOSS), *over_time.named(track)),
                details=(
                    ("because", "nothing that was watched explains it: gradients arrive and weights move"),
                    ("help", "look at the labels, the data and the learning rate"),
                ),
                got=1 - best / start,
                bound=min_fall,
            )


def _warmed_up(track: Track) -> list[float]:
    """The losses since the learning rate was half of its largest for the first time."""
    since = next((one.step for one in track.moments if one.lr and one.lr[0] >= _WARM * max(track.largest_lr, default=0.0)), 0)
    values = [loss for step, loss in track.losses if step >= since]
    return values if all(map(math.isfinite, values)) else []


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]
    return Training(model, x, nn.MSELoss(), y, optimizer=optimizer, steps=60)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]
    return Training(model, x, nn.MSELoss(), y, optimizer=optimizer, steps=60)
