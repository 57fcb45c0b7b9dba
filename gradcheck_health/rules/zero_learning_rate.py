"""Learning rates that have become nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def zero_learning_rate(trace: Trace, *, min_share: float = 0.1, min_steps: int = 20) -> Iterator[Finding]:
    """The learning rate is nothing, and has been for a while.

    What it does: follows the learning rate of each group. Fires where it has been at or below 1e-4 of its largest for
    min_steps steps and for min_share of all steps. A note where other groups still train.

    Why it is bad: the loop runs on and trains nothing: a scheduler that is stepped for every batch although it counts epochs,
    a schedule that ended, a rate of 0 that no scheduler raises.

    How it is measured: in a watched loop, exactly, at each step. A warm-up from 0 has no larger rate behind it; a schedule
    that reaches 0 with the last step, restarts, and one-cycle stay below the bounds.

    When it is legitimate: a loop that goes on after its schedule on purpose, to gather statistics.

    How to fix: step the scheduler as often as its total_steps or T_max says; stop when it has ended.

    How to silence: ignore={"zero-learning-rate": "the reason"}.
    """
    for track in over_time.tracks(trace):
        bound = max(min_steps, min_share * track.steps)
        idle = [i for i, count in enumerate(track.lowest_lr) if count >= bound]
        if not idle or track.last is None:
            continue
        whole = len(idle) == len(track.lowest_lr)
        count, largest = track.lowest_lr[idle[0]], track.largest_lr[idle[0]]
        yield Finding(
            rule="zero-learning-rate",
            severity=Severity.WARNING if whole else Severity.NOTE,
            message=f"the learning rate of {len(idle)} of {len(track.lowest_lr)} groups of {track.optimizer} has been "
            f"{track.last.lr[idle[0]]:.2g} for {count} steps (at most {bound:.0f} at or below 1e-4 of its largest allowed)",
            places=over_time.named(track, f"largest {largest:.2g}"),
            details=(
                (
                    "because",
                    "it was never larger" if largest == 0 else f"it has been {largest:.2g}, and a scheduler brought it down",
                ),
                ("help", "step the scheduler once for what it counts, epochs or batches; stop when its schedule has ended"),
            ),
            got=float(count),
            bound=float(bound),
        )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedulers = torch.optim.lr_scheduler
    scheduler = schedulers.CosineAnnealingWarmRestarts(optimizer, 10)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def step() -> None:
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
        scheduler.step()

    return Training(
        model,
        optimizer=optimizer,
        scheduler=scheduler,
        step=step,
        steps=30,
    )


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.01)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def step() -> None:
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
        scheduler.step()

    return Training(
        model,
        optimizer=optimizer,
        scheduler=scheduler,
        step=step,
        steps=30,
    )
