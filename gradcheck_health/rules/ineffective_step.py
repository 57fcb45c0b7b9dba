"""A step of the optimizer that leaves the weights as they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.step import GroupTrace, ParameterStep, StepTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time, steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training

_HALF = ("float16", "bfloat16")
_STILL = 0.9
"""In a watched loop."""


def ineffective_step(trace: Trace, *, max_still: float = 0.5) -> Iterator[Finding]:
    """A step leaves weights that have a gradient bit for bit as they were.

    What it does: counts the entries of the weights with a gradient other than zero, and those of them that the step did not
    change. Fires where more than max_still of the entries of half-precision weights stay, where that is so in every weight
    of another model, where a learning rate is 0, where a single weight stays whole although its step would have been large
    enough, and where a loss scaler skips every step.

    Why it is bad: nothing is trained, or only the few entries whose update is larger than half a unit in the last place. In
    bfloat16 that unit is 1/256 of a number: AdamW at 2e-5 moves 0 to 3 % of the entries.

    How it is measured: one step is taken on a copy of the weights in place, or the given one watched; entries are compared
    before and after. In a watched loop 0.9 of the entries of every half-precision weight have to stay, ten steps in a row.

    When it is legitimate: a learning rate that a warm-up starts from at 0 is a note, and so is one group of several at 0.

    How to fix: keep float32 weights and use autocast for half precision; a larger learning rate; an eps that is below the
    gradients; call optimizer.step() after backward and before zero_grad().

    How to silence: ignore={"ineffective-step": "the reason"}, or a larger max_still.
    """
    step = trace.steps[0] if trace.steps else None
    if step is None:
        yield from _in_a_loop(trace)
        return
    if not step.taken:
        yield _never(step) if step.by == "the given step" and step.scale is None else _skipped(step)
        return
    empty = [one for one in steps.given(trace) if _without_gradient(one)]
    if empty:
        yield _empty(empty[0], len(empty), len(steps.given(trace)))
        return
    rows = [row for row in step.parameters if row.group is not None and row.pushed]
    at_zero = [row for row in rows if step.lr(row) == 0]
    if at_zero:
        yield _zero_rate(trace, step, at_zero, len(rows))
    weights = [row for row in rows if row.role == "weight" and step.lr(row) != 0 and not row.nonfinite_weight]
    moving = [row for row in weights if not _swallowed(row, max_still)]
    half = [row for row in weights if row.dtype in _HALF]
    still, pushed = sum(row.pushed - row.moved for row in half), sum(row.pushed for row in half)
    if half and still > max_still * pushed:
        yield _still(trace, step, [row for row in half if _swallowed(row, max_still)], still / pushed, max_still)
    elif weights and not moving:
        total = sum(row.pushed for row in weights)
        yield _still(trace, step, weights, sum(row.pushed - row.moved for row in weights) / total, max_still)
    else:
        held = [row for row in weights if not row.moved and _expected(row, step) > 100 * _unit(row)]
        if held:
            yield _held(trace, step, held, len(weights))


def _in_a_loop(trace: Trace) -> Iterator[Finding]:
    for track in over_time.tracks(trace):
        rows = [one.still for one in over_time.window(track)]
        halves = [i for i, row in enumerate(track.parameters) if row.role == "weight" and row.dtype in _HALF]
        shares = [row[i] for row in rows if row for i in halves if row[i] is not None]
        least = min((one for one in shares if one is not None), default=0.0)
        if least > _STILL:
            yield Finding(
                rule="ineffective-step",
                severity=Severity.WARNING,
                message=f"{least:.0%} and more of the entries of every half-precision weight do not move in a step of "
                f"{track.optimizer} (at most {_STILL:.0%} allowed)",
                places=over_time.places(track, halves, track.parameters[halves[0]].dtype),
                details=(("help", "keep the weights in float32 and run the passes under torch.autocast"),),
                got=least,
                bound=_STILL,
            )


def _swallowed(row: ParameterStep, max_still: float) -> bool:
    return row.pushed - row.moved > max_still * row.pushed


def _unit(row: ParameterStep) -> float:
    """Half a unit in the last place of a typical entry."""
    return row.weight / math.sqrt(max(row.entries, 1)) * steps.SPACING.get(row.dtype, 0.0)


def _expected(row: ParameterStep, step: StepTrace) -> float:
    """A cautious guess at the size of an entry's update: plain gradient descent's, but not more than the learning rate."""
    return step.lr(row) * min((row.gradient or 0.0) / math.sqrt(max(row.pushed, 1)), 1.0)


def _without_gradient(step: StepTrace) -> bool:
    """The optimizer stepped, and no parameter of it held a gradient other than zero."""
    taken = next((event for event in step.events if event.kind == "step"), None)
    closure = any(event.kind == "backward" for event in step.events[step.events.index(taken) :]) if taken else False
    return taken is not None and taken.parameters == 0 and not closure


def _empty(step: StepTrace, count: int, total: int) -> Finding:
    backward = next((event for event in step.events if event.kind == "backward" and event.parameters), None)
    taken = next(event for event in step.events if event.kind == "step")
    because = (
        "no backward pass led up to it" if backward is None else "the gradients were cleared between backward and the step"
    )
    return Finding(
        rule="ineffective-step",
        severity=Severity.ERROR,
        message=f"{count} of {total} steps of {taken.by} find no gradient other than zero (0 allowed)",
        places=(Place("", "", taken.source, "step"), *([Place("", "", backward.source, "backward")] if backward else [])),
        details=(("because", because), ("help", "zero_grad() first, then loss.backward(), then optimizer.step()")),
        got=float(count),
        bound=0.0,
    )


def _never(step: StepTrace) -> Finding:
    backwards = [event for event in step.events if event.kind == "backward"]
    return Finding(
        rule="ineffective-step",
        severity=Severity.ERROR,
        message=f"{len(backwards)} backward passes, and {steps.optimizers(step)} takes no step (1 is the least)",
        places=(Place("", "", backwards[0].source, "backward"),),
        details=(
            ("because", "step() of the optimizer that was handed over is never called"),
            ("help", "call optimizer.step() after backward; write the parentheses; hand over the optimizer that the step uses"),
        ),
        got=0.0,
    )


def _skipped(step: StepTrace) -> Finding:
    scale = "" if step.scale is None else f"; the loss scale came down to {step.scale:.3g}"
    tried = max(step.skipped + 1, sum(event.kind == "backward" for event in step.events))
    return Finding(
        rule="ineffective-step",
        severity=Severity.ERROR,
        message=f"the scaler skipped all {tried} steps (1 that is taken is the least)",
        details=(
            ("because", f"every scaled gradient holds NaN or Inf{scale}"),
            ("help", "find the operation that overflows: run in float32, or in bfloat16, where no scaler is needed"),
        ),
        got=float(tried),
        bound=0.0,
    )


def _zero_rate(trace: Trace, step: StepTrace, rows: Sequence[ParameterStep], total: int) -> Finding:
    groups: list[GroupTrace] = [step.groups[row.group] for row in rows if row.group is not None]
    warming = all(group.warming_up for group in groups)
    part = len(rows) < total
    severity = Severity.NOTE if warming or part else Severity.ERROR
    because = "a scheduler starts there" if warming else "no scheduler will raise it"
    return Finding(
        rule="ineffective-step",
        severity=severity,
        message=f"the learning rate of {len(rows)} of {total} parameters is 0: the step leaves them as they are",
        places=steps.places(trace, rows, "learning rate 0"),
        details=(("because", because), ("help", "set lr, or freeze what is not to be trained: requires_grad_(False)")),
        got=0.0,
    )


def _still(trace: Trace, step: StepTrace, rows: Sequence[ParameterStep], share: float, bound: float) -> Finding:
    row = max(rows, key=lambda one: one.pushed)
    group = step.groups[row.group or 0]
    size = (row.gradient or 0.0) / math.sqrt(max(row.pushed, 1))
    if group.eps is not None and size < group.eps / 10:
        because = f"gradients of {size:.2g} drown in eps = {group.eps:.2g} of {group.optimizer}"
        advice = "a smaller eps, or a loss that is not scaled down"
    else:
        because = f"an update at lr {group.lr:.3g} is below half a unit in the last place of {row.dtype}: {_unit(row):.2g}"
        advice = (
            "keep the weights in float32 and run the passes under torch.autocast, or raise the learning rate"
            if row.dtype in _HALF
            else "raise the learning rate"
        )
    return Finding(
        rule="ineffective-step",
        severity=Severity.ERROR,
        message=f"{share:.0%} of the entries of weights with a gradient do not move in a step (at most {bound:.0%} allowed)",
        places=steps.places(trace, sorted(rows, key=lambda one: -one.pushed), row.dtype),
        details=(("because", because), ("help", advice)),
        got=share,
        bound=bound,
    )


def _held(trace: Trace, step: StepTrace, rows: Sequence[ParameterStep], total: int) -> Finding:
    return Finding(
        rule="ineffective-step",
        severity=Severity.ERROR,
        message=f"{len(rows)} of {total} weights with a gradient are the same after the step of {steps.optimizers(step)} "
        "(0 allowed)",
        places=steps.places(trace, rows, "unchanged"),
        details=(
            ("because", "their gradient and their learning rate are large enough to move them: the optimizer passes them over"),
            ("help", "look at what the optimizer's step, or a hook on it, does with them"),
        ),
        got=float(len(rows)),
        bound=0.0,
    )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    warm_up = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / 100),
    )
    return Training(
        model,
        loss=nn.MSELoss(),
        optimizer=optimizer,
        scheduler=warm_up,
    )


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    model = model.to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    return Training(model, loss=nn.MSELoss(), optimizer=optimizer)
