"""Gradients of the last step that the next one uses again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time, steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def uncleared_gradient(trace: Trace) -> Iterator[Finding]:
    """A step uses gradients that an earlier step has used already: nobody cleared them before the next backward.

    What it does: counts, at each step of a training step of your own, the parameters whose gradient was used by the step
    before and was added to since.

    Why it is bad: every batch stays in the gradient for ever: it grows with each step and points to where the model was.

    How it is measured: the step is watched over three steps; a gradient counts as cleared where it is None or all zeros when
    the next backward begins. In a watched loop torch's own count of the changes of one gradient tells, at every measured step,
    whether anybody cleared it since the step before. Gathering the passes of several batches for one step is no fault: there
    each gradient is used once.

    When it is legitimate: never with an optimizer of torch. A generator's pass through a discriminator may leave gradients
    there: they count only where the discriminator's next step uses them.

    How to fix: optimizer.zero_grad() before each backward that begins a step.

    How to silence: ignore={"uncleared-gradient": "the reason"}.
    """
    taken = [event for step in steps.given(trace) for event in step.events if event.kind == "step"]
    sick = [event for event in taken if event.stale]
    if sick:
        worst = max(sick, key=lambda event: event.stale)
        yield Finding(
            rule="uncleared-gradient",
            severity=Severity.ERROR,
            message=f"{len(sick)} of {len(taken)} steps use gradients that the step before has used already "
            f"({worst.stale} of {worst.parameters} parameters, 0 allowed)",
            places=(Place("", "", worst.source, "step"),),
            details=(
                ("because", "the next backward added to gradients that nobody had cleared after the step"),
                ("help", "call optimizer.zero_grad() before each backward that begins a step"),
            ),
            got=float(worst.stale),
            bound=0.0,
        )
        return
    for track in over_time.tracks(trace):
        if track.uncleared:
            yield Finding(
                rule="uncleared-gradient",
                severity=Severity.ERROR,
                message=f"{track.uncleared} of {track.steps} steps of {track.optimizer} use gradients that the step before has "
                "used already (0 allowed)",
                places=over_time.named(track),
                details=(
                    ("because", "between two steps nobody cleared the gradients, and backward added to them"),
                    ("help", "call optimizer.zero_grad() before each backward that begins a step"),
                ),
                got=float(track.uncleared),
                bound=0.0,
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
        model(x).square().mean().backward()
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
        model(x).square().mean().backward()
        optimizer.step()

    return Training(model, x, optimizer=optimizer, step=step)
