"""Settings of an optimizer that cannot work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.step import GroupTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training

_COUPLED = ("adam", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam", "rprop")
"""Optimizers that add the decay to the gradient and then divide by its size: the product says nothing."""


def optimizer_setting(trace: Trace, *, max_decay: float = 1e-2) -> Iterator[Finding]:
    """The optimizer's settings cannot work: a momentum of 1, or a decay that halves the weights in seventy steps.

    What it does: looks at the groups when the first step is taken. Fires at a momentum of 1 or more, and where the learning
    rate times weight_decay is max_decay or more in an optimizer that decays by that product.

    Why it is bad: with a momentum of 1 nothing is ever forgotten, and every step adds to the last; with such a decay the
    weights are gone before anything is learnt.

    How it is measured: lr x weight_decay is what a step takes off a weight, in SGD and in the Adam family with decoupled decay
    (AdamW, Lion, Adafactor).

    When it is legitimate: never with a momentum of 1; a decay like that for weights that are to vanish.

    How to fix: a momentum of 0.9; a weight_decay of 1e-4 to 0.1 at usual learning rates.

    How to silence: ignore={"optimizer-setting": "the reason"}, or a larger max_decay.
    """
    held = [track.groups for track in over_time.tracks(trace)] or [step.groups for step in trace.steps[-1:]]
    for i, group in (numbered for groups in held for numbered in enumerate(groups)):
        if group.momentum >= 1:
            text = f"the momentum of {group.optimizer} is {group.momentum:.3g} (below 1 allowed)"
            yield _finding(group, i, text, group.momentum, 1.0, "with it a step is never forgotten; 0.9 is usual")
            return
        decay = group.lr * group.weight_decay
        if decay >= max_decay and not group.optimizer.lower().endswith(_COUPLED):
            text = f"{group.optimizer} takes {decay:.2g} off each weight in a step (below {max_decay:.2g} allowed)"
            halved = math.log(2) / decay
            yield _finding(
                group, i, text, decay, max_decay, f"the weights are halved every {halved:.0f} steps: a smaller decay"
            )
            return


def _finding(group: GroupTrace, number: int, message: str, got: float, bound: float, advice: str) -> Finding:
    return Finding(
        rule="optimizer-setting",
        severity=Severity.WARNING,
        message=message,
        places=(Place(group.optimizer, "optimizer", None, f"group {number}"),),
        details=(("help", advice),),
        got=got,
        bound=bound,
    )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    parameters = model.parameters()
    optimizer = torch.optim.SGD(parameters, lr=0.1, weight_decay=1e-4)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def step() -> None:
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()

    return Training(model, optimizer=optimizer, step=step, steps=4)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=1.0)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]

    def step() -> None:
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()

    return Training(model, optimizer=optimizer, step=step, steps=4)
