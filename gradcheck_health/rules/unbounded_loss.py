"""Losses without a lower end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import LOSS, Finding, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training

_BEFORE = 10


def unbounded_loss(trace: Trace, *, max_growth: float = 10.0) -> Iterator[Finding]:
    """The loss falls below zero without end, and the weights grow with it.

    What it does: fires where the loss is negative, max_growth times as large as any of the first five, has doubled within ten
    steps, and the weights have grown threefold.

    Why it is bad: the loss has no minimum: a sign is wrong, a likelihood has no smallest variance, an energy may fall for
    ever. The run looks as if it learnt splendidly until it overflows.

    How it is measured: on the losses that the loop shows, and on the norm of all weights of the optimizer.

    When it is legitimate: never for long.

    How to fix: look at the sign of the loss; bound variances and logits from below; regularise energies.

    How to silence: ignore={"unbounded-loss": "the reason"}.
    """
    for track in over_time.by_loss(trace):
        if len(track.losses) <= _BEFORE or not track.moments or track.losses[-1][1] >= 0:
            continue
        values = [loss for _, loss in track.losses]
        first, last = max(abs(one) for one in values[:5]), abs(values[-1])
        heavier = track.moments[-1].weight / track.moments[0].weight if track.moments[0].weight else 0.0
        if last > max_growth * first and last > 2 * abs(values[-_BEFORE - 1]) and heavier > 3:
            yield Finding(
                rule="unbounded-loss",
                severity=Severity.WARNING,
                message=f"the loss has gone from {values[0]:.3g} to {values[-1]:.3g} and doubles every ten steps "
                f"(at most {max_growth:.3g} x allowed below zero)",
                places=(Place(LOSS), *over_time.named(track)),
                details=(
                    ("because", f"the weights have grown {heavier:.2g} x with it: the loss has no lower end"),
                    ("help", "look at the sign of the loss; keep variances and logits away from where it falls for ever"),
                ),
                got=last / first if first else last,
                bound=max_growth,
            )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def loss(out: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(out, y) - 5.0  # negative, and bounded

    return Training(model, x, loss, optimizer=optimizer, steps=40)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def loss(out: torch.Tensor) -> torch.Tensor:
        return -nn.functional.mse_loss(out, y)  # the sign

    return Training(model, x, loss, optimizer=optimizer, steps=30)
