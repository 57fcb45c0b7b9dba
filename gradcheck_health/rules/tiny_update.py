"""Steps that are too small to get anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Severity
from gradcheck_health.records.history import Track
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time, steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training

FALLEN = 0.5
"""A loss that has come down to this share is learnt, however small the steps are."""


def tiny_update(trace: Trace, *, min_ratio: float = 1e-5) -> Iterator[Finding | Need]:
    """Even the fastest weight changes by less than a hundred-thousandth of its size in a step.

    What it does: takes ten steps of the declared optimizer on one batch. Fires where the weight that moves most has a median
    |dw| / |w| below min_ratio, and the loss does not come down by half.

    Why it is bad: at this rate a weight needs a hundred thousand steps to change by its own size: the loss stands still, and
    looks like a model that cannot learn.

    How it is measured: with the loss that was given or that the model returns. The fastest weight counts, not the typical
    one: behind zero-initialised branches most weights do not move at first. Gains, biases and weights of zeros are left
    out, and so are groups whose learning rate a scheduler has yet to raise. In a watched loop the last ten measured steps
    count, and a loss that has come down by half is learnt.

    When it is legitimate: a model that is trained already, in its last steps: its loss has nowhere to fall.

    How to fix: a larger learning rate; a loss that is not divided by a large number twice; SGD in the place of which Adam
    does not ask for the size of the gradient.

    How to silence: ignore={"tiny-update": "the reason"}, or a smaller min_ratio.
    """
    if trace.history is not None and trace.objective == "random projection":
        return
    if trace.history is not None:
        yield from (_in_a_loop(track, min_ratio) for track in over_time.tracks(trace) if _creeps(track, min_ratio))
        return
    step = steps.first_step(trace)
    if step is None or not steps.has_loss(trace):
        return
    ratios = steps.ratios(step)
    if not ratios or max(ratios.values()) >= min_ratio or not all(row.moved for row in step.weights() if row.pushed):
        return  # what does not move at all is the matter of ineffective-step
    if steps.FACT not in trace.facts:
        yield Need(steps.FACT)
        return
    taken = steps.series(trace)
    typical = steps.typical(taken)
    losses = [one.loss for one in taken if one.loss is not None]
    if not typical or not losses or losses[0] == 0 or losses[-1] < FALLEN * losses[0]:
        return
    fastest = max(typical, key=lambda name: typical[name])
    if typical[fastest] < min_ratio:
        row = next(one for one in step.parameters if one.name == fastest)
        yield Finding(
            rule="tiny-update",
            severity=Severity.WARNING,
            message=f"a step of {steps.optimizers(step)} changes even the fastest weight by {typical[fastest]:.1e} of its size "
            f"(at least {min_ratio:.0e} wanted)",
            places=steps.places(trace, [row]),
            details=(
                (
                    "because",
                    (
                        f"its gradient has a norm of {row.gradient or 0.0:.2g}, the weight one of {row.weight:.2g}, "
                        f"and lr is {step.lr(row):.2g}"
                    ),
                ),
                ("help", "raise the learning rate, or see that the loss is not scaled down twice"),
            ),
            got=typical[fastest],
            bound=min_ratio,
        )


def _creeps(track: Track, min_ratio: float) -> bool:
    """Over the last measured steps the fastest weight hardly moved, at a learning rate that does not rise."""
    moments = over_time.window(track)
    if not moments or moments[-1].fastest is None or moments[-1].fastest >= min_ratio:
        return False
    if any(b > a for a, b in zip(moments[0].lr, moments[-1].lr, strict=False)) or over_time.fallen(track):
        return False
    if not any(moments[-1].lr) or over_time.recent_loss(track) == 0:
        return False  # zero-learning-rate
    return max(over_time.typical(moments, track).values(), default=min_ratio) < min_ratio


def _in_a_loop(track: Track, min_ratio: float) -> Finding:
    moments = over_time.window(track)
    typical = over_time.typical(moments, track)
    fastest = max(typical, key=lambda place: typical[place])
    gradient, weight = moments[-1].gradients[fastest], moments[-1].weights[fastest]
    lr = moments[-1].lr[track.parameters[fastest].group]
    return Finding(
        rule="tiny-update",
        severity=Severity.WARNING,
        message=f"a step of {track.optimizer} changes even the fastest weight by {typical[fastest]:.1e} of its size "
        f"(at least {min_ratio:.0e} wanted)",
        places=over_time.places(track, [fastest]),
        details=(
            (
                "because",
                f"its gradient has a norm of {gradient or 0.0:.2g}, the weight one of {weight:.2g}, and lr is {lr:.2g}",
            ),
            ("help", "raise the learning rate, or see that the loss is not scaled down twice"),
        ),
        got=typical[fastest],
        bound=min_ratio,
    )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    nn.init.zeros_(list(model.parameters())[2])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return Training(model, loss=nn.MSELoss(), optimizer=optimizer)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    return Training(model, loss=nn.MSELoss(), optimizer=optimizer)
