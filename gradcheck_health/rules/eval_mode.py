"""Training in eval mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def eval_mode(trace: Trace, *, max_steps: int = 5) -> Iterator[Finding]:
    """Steps are taken while the whole model is in eval mode, and it has layers for which that matters.

    What it does: looks at the mode of the model itself when an optimizer steps. Fires at max_steps such steps where the model
    has dropout or batch normalisation.

    Why it is bad: model.eval() before a validation, and no model.train() after it: from then on dropout is off and the
    statistics of the normalisations stand still.

    How it is measured: in a watched loop, at each step. Layers that alone are in eval mode (frozen normalisations) are an
    author's intention.

    When it is legitimate: fine-tuning in eval mode on purpose.

    How to fix: model.train() at the beginning of each epoch.

    How to silence: ignore={"eval-mode": "the reason"}.
    """
    history = trace.history
    if history is None or history.evaluated < max_steps or not history.modal:
        return
    yield Finding(
        rule="eval-mode",
        severity=Severity.WARNING,
        message=f"{history.evaluated} steps were taken in eval mode (fewer than {max_steps} allowed)",
        places=(Place("", history.model, None, f"has {', '.join(history.modal)}"),),
        details=(
            ("because", "model.eval() was called, and no model.train() after it"),
            ("help", "call model.train() at the beginning of each epoch"),
        ),
        got=float(history.evaluated),
        bound=float(max_steps),
    )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(), nn.Linear(16, 1))
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

    model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(), nn.Linear(16, 1))
    model.eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def step() -> None:
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()

    return Training(model, optimizer=optimizer, step=step, steps=8)
