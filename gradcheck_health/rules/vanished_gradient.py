"""Gradients that fade while the loss stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.history import Moment
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training

_FIRST = 3


def vanished_gradient(trace: Trace, *, min_share: float = 1e-3, max_fall: float = 0.8) -> Iterator[Finding]:
    """The whole gradient has faded to a thousandth of what it was, and the loss has hardly fallen.

    What it does: compares the norm of the gradient over all parameters at the last three measured steps with that of the
    first three. Fires below min_share where the loss is still above max_fall of what it was at first.

    Why it is bad: the output is saturated or cut off: a large step drove a sigmoid or a softmax to its end, where it answers
    nothing but 0 and 1, and nothing brings it back.

    How it is measured: on the gradients as they are applied, with the losses that the loop shows.

    When it is legitimate: a loss whose smallest value lies just below where it began, and is reached.

    How to fix: a smaller learning rate at first, a warm-up, losses on logits instead of probabilities.

    How to silence: ignore={"vanished-gradient": "the reason"}, or a smaller min_share.
    """
    for track in over_time.by_loss(trace):
        first, last = _largest(track.moments), _largest(reversed(track.moments))
        if len(track.moments) < 3 * _FIRST or not 0 < last < min_share * first:
            continue
        if not over_time.signed(track) and not over_time.fallen(track, max_fall):
            yield Finding(
                rule="vanished-gradient",
                severity=Severity.WARNING,
                message=f"the gradient has faded from {first:.2g} to {last:.2g} (at least {min_share:.0e} of it wanted), "
                f"and the loss is still {over_time.recent_loss(track):.3g}",
                places=over_time.named(track),
                details=(
                    ("because", "the output is saturated, or what led to it died, in the steps between"),
                    ("help", "a smaller learning rate or a warm-up; a loss on logits instead of probabilities"),
                ),
                got=last / first,
                bound=min_share,
                effect_of=("huge-update",),
            )


def _largest(moments: Iterable[Moment]) -> float:
    """Of the first few that were not skipped."""
    taken = islice((one.gradient for one in moments if not one.skipped), _FIRST)
    return max(taken, default=0.0)


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]
    return Training(model, x, nn.MSELoss(), y, optimizer=optimizer, steps=30)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 1), nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), lr=500.0)
    x = torch.rand(64, 8)
    y = 0.4 + 0.2 * torch.rand(64, 1)
    return Training(model, x, nn.MSELoss(), y, optimizer=optimizer, steps=30)
