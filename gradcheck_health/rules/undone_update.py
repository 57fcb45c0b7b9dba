"""Steps that are taken back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def undone_update(trace: Trace, *, max_steps: int = 5) -> Iterator[Finding]:
    """Each step begins at the weights that the step before began at: something puts them back.

    What it does: compares the weights before a step with those before the last measured one, bit for bit. Fires where they
    were the same max_steps times in a row although each step moved them.

    Why it is bad: nothing is trained: a checkpoint is loaded in the loop, an average is copied back over the weights, or the
    model is built from one state again and again.

    How it is measured: in a watched loop, on samples of the entries. Weights that are clipped, averaged or projected after
    each step are not the same bit for bit.

    When it is legitimate: a learning-rate finder or a search that takes its trial steps back on purpose: watch what
    comes after.

    How to fix: look for load_state_dict, copy_ and swap calls in the loop.

    How to silence: ignore={"undone-update": "the reason"}.
    """
    for track in over_time.tracks(trace):
        if track.undone >= max_steps:
            yield Finding(
                rule="undone-update",
                severity=Severity.ERROR,
                message=f"{track.undone} steps of {track.optimizer} in a row began at the weights that the step before began "
                f"at (fewer than {max_steps} allowed)",
                places=over_time.named(track),
                details=(
                    ("because", "the step moves the weights, and before the next one they are, bit for bit, what they were"),
                    ("help", "look for load_state_dict, copy_ or a swap with averaged weights inside the loop"),
                ),
                got=float(track.undone),
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

    return Training(model, optimizer=optimizer, step=step, steps=10)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    best = {k: v.clone() for k, v in model.state_dict().items()}
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def step() -> None:
        model.load_state_dict(best)
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()

    return Training(model, optimizer=optimizer, step=step, steps=10)
