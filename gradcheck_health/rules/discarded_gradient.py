"""Gradients that are computed and thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def discarded_gradient(trace: Trace, *, max_passes: int = 20) -> Iterator[Finding]:
    """Many backward passes in a row are thrown away without a step.

    What it does: counts the backward passes of a training loop whose gradient was cleared before the optimizer had used it,
    and the steps in a row that a loss scaler skipped. Fires at max_passes of them.

    Why it is bad: the loop computes, and trains nothing. The call of step() is missing, or belongs to another optimizer, or a
    scaler finds Inf in every gradient.

    How it is measured: in a watched loop, exactly, at one parameter of each optimizer. Passes that add up for one step are
    not thrown away, and the few that a scaler skips while its scale settles are fewer than that.

    When it is legitimate: attacks that clear the model's gradients in more than max_passes inner passes before each step:
    torch.autograd.grad(loss, inputs) leaves the parameters alone.

    How to fix: call optimizer.step() after backward, with its parentheses; hand the scaler finite gradients.

    How to silence: ignore={"discarded-gradient": "the reason"}, or a larger max_passes.
    """
    for track in over_time.tracks(trace):
        count = max(track.discarded, track.skipped)
        if count >= max_passes:
            scaler = track.skipped >= track.discarded
            yield Finding(
                rule="discarded-gradient",
                severity=Severity.ERROR,
                message=f"{count} backward passes in a row lead to no step of {track.optimizer} "
                f"(fewer than {max_passes} allowed)",
                places=over_time.named(track, "step() never came" if not track.steps else ""),
                details=(
                    (
                        "because",
                        "the scaler skips every step" if scaler else "the gradients are cleared before a step uses them",
                    ),
                    ("help", "call optimizer.step() after backward; with a scaler, look for what overflows in float16"),
                ),
                got=float(count),
                bound=float(max_passes),
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
        for _ in range(4):  # four passes add up for one step
            loss = (model(x) - y).square().mean()
            (loss / 4).backward()
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
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()

    return Training(model, optimizer=optimizer, step=step, steps=25)
