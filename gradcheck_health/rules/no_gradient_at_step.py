"""Steps without a gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def no_gradient_at_step(trace: Trace, *, max_steps: int = 3) -> Iterator[Finding]:
    """The optimizer steps, backward ran, and no gradient is left when the step is taken.

    What it does: looks at the gradients of all parameters when a step is taken. Fires at max_steps measured steps in a row
    with none other than zero, although a backward pass reached the parameters before each.

    Why it is bad: nothing is trained, or only by the decay: zero_grad() stands between backward and step, or the loss has no
    slope anywhere.

    How it is measured: in a watched loop, exactly. A loss that is 0, or has come down by half, has nothing more to teach;
    where the loop does not show its loss, every step since the first has to be empty.

    When it is legitimate: a loss that is flat on purpose for a while: a hinge that all samples satisfy.

    How to fix: zero_grad() first, then backward, then step().

    How to silence: ignore={"no-gradient-at-step": "the reason"}, or a larger max_steps.
    """
    for track in over_time.tracks(trace):
        if track.empty < max_steps:
            continue
        if track.losses and (over_time.fallen(track) or over_time.recent_loss(track) == 0):
            continue
        if not track.losses and track.empty < len(track.moments):
            continue
        yield Finding(
            rule="no-gradient-at-step",
            severity=Severity.ERROR,
            message=f"{track.empty} steps of {track.optimizer} in a row find no gradient other than zero, though backward ran "
            f"(fewer than {max_steps} allowed)",
            places=over_time.named(track),
            details=(
                ("because", "the gradients were cleared between backward and the step, or the loss has no slope"),
                ("help", "zero_grad() first, then loss.backward(), then optimizer.step()"),
            ),
            got=float(track.empty),
            bound=float(max_steps),
        )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def step() -> None:
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()

    return Training(model, optimizer=optimizer, step=step, steps=8)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def step() -> None:
        (model(x) - y).square().mean().backward()
        optimizer.zero_grad()
        optimizer.step()

    return Training(model, optimizer=optimizer, step=step, steps=8)
