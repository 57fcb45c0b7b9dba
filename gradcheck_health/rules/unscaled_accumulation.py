"""Gradients gathered over several batches that are summed where a mean was wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.step import StepEvent, StepTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def unscaled_accumulation(trace: Trace, *, max_factor: float = 1.5) -> Iterator[Finding]:
    """Several backward passes lead to one step, and their gradients are added up: k times that of the joined batch.

    What it does: counts the passes that lead to a step of your own, and the factor that each loss is multiplied by last.
    Fires where a mean over the samples is passed k times and factor x k is above max_factor.

    Why it is bad: the gradient is that of the joined batch times k: with SGD the learning rate is k times what it says, and a
    clipping threshold cuts k times too early. Adam does not see the size, but weight decay, eps and clipping do.

    How it is measured: the step is watched; the autograd graph of what backward is called on says whether it is a mean, and by
    which numbers it is multiplied. Passes count that come from one line, each with a forward of its own. A sum, or a division
    of the gradients before the step, is left alone.

    When it is legitimate: losses of several tasks that are to be added up, one after another in a loop.

    How to fix: (loss / k).backward().

    How to silence: ignore={"unscaled-accumulation": "the reason"}, or a larger max_factor.
    """
    for step in steps.given(trace):
        passes = _gathered(step)
        if len(passes) > 1 and not step.rescaled:
            total = sum(event.factor for event in passes) / (step.scale or 1.0)
            if total > max_factor:
                yield _finding(step, passes, total)
                return


def _gathered(step: StepTrace) -> list[StepEvent]:
    """The backward passes over batches that lead to the step: of one line, each of a mean and with its own forward."""
    seen = steps.events(step)
    end = next((i for i, event in enumerate(seen) if event.kind == "step"), 0)
    passes = [event for event in seen[:end] if event.kind == "backward" and event.parameters]
    alike = passes and all((p.source, p.mean, p.groups) == (passes[0].source, True, passes[0].groups) for p in passes)
    return passes if alike and passes[0].source is not None and all(p.forwards for p in passes) else []


def _finding(step: StepTrace, passes: list[StepEvent], total: float) -> Finding:
    return Finding(
        rule="unscaled-accumulation",
        severity=Severity.WARNING,
        message=f"{len(passes)} backward passes to one step of {steps.optimizers(step)} add up to {total:.3g} x "
        "the gradient of the joined batch (1 x wanted)",
        places=(Place("", "", passes[0].source, "backward"),),
        details=(
            ("because", f"each loss is a mean over its batch, multiplied by {passes[0].factor / (step.scale or 1.0):.3g}"),
            ("help", f"(loss / {len(passes)}).backward(), or reduction='sum' divided by the samples of all of them"),
        ),
        got=total,
        bound=1.0,
    )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(16, 8)

    def step() -> None:
        optimizer.zero_grad()
        for part in x.chunk(4):
            loss = model(part).square().mean()
            (loss / 4).backward()
        optimizer.step()

    return Training(model, x, optimizer=optimizer, step=step)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(16, 8)

    def step() -> None:
        optimizer.zero_grad()
        for part in x.chunk(4):
            loss = model(part).square().mean()
            loss.backward()
        optimizer.step()

    return Training(model, x, optimizer=optimizer, step=step)
