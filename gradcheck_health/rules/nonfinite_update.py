"""NaN or Inf that the optimizer makes out of finite gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.history import Moment, Track
from gradcheck_health.records.step import ParameterStep, StepTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import counted
from gradcheck_health.rules.analysis import over_time, steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training

SMALLEST = {"float16": 2.0**-25, "bfloat16": 2.0**-134, "float32": 2.0**-150}
"""At or below it a number becomes 0."""


def nonfinite_update(trace: Trace) -> Iterator[Finding]:
    """After a step weights or the optimizer's state hold NaN or Inf, although they did not before.

    What it does: looks for NaN and Inf in the weights and in the optimizer's buffers after the step.

    Why it is bad: one NaN in a weight reaches every other one in the next step. In float16 the usual eps of Adam, 1e-8, is 0:
    where the second moment of a small gradient is 0, too, the update is 0 / 0.

    How it is measured: exactly, on all entries, after one step or as many as were taken; the gradients were finite before. In
    a watched loop on a sample of each weight, at the step that makes them, and on the buffers at steps 2, 10 and each 100th.

    When it is legitimate: never.

    How to fix: keep the weights and the state in float32 and run the passes under torch.autocast; eps=1e-4 for a float16
    model; let the GradScaler skip what overflows: scaler.step(optimizer), not optimizer.step().

    How to silence: ignore={"nonfinite-update": "the reason"}.
    """
    if trace.history is not None:
        yield from _in_a_loop(trace)
    before = {name for name, p in trace.parameters.items() if not p.value.finite}
    for count, step in enumerate((*trace.steps, *steps.series(trace)[1:]), 1):
        rows = [row for row in step.parameters if (row.nonfinite_weight or row.nonfinite_state) and row.name not in before]
        if count > 1 and any(row.nonfinite_gradient for row in step.parameters):
            return  # the loss has diverged by then: huge-update
        if rows:
            yield _finding(trace, step, rows, count)
            return


def _in_a_loop(trace: Trace) -> Iterator[Finding]:
    for track in over_time.tracks(trace):
        moment = next((one for one in track.moments if one.nonfinite or one.broken), None)
        if moment is not None and not moment.nonfinite:  # otherwise nonfinite-gradient
            yield _broken(track, moment)
        elif moment is None and track.spoiled:
            yield _spoiled(track)


def _spoiled(track: Track) -> Finding:
    name, places = track.spoiled[0][1], [place for place, _ in track.spoiled]
    worst = track.parameters[places[0]]
    return Finding(
        rule="nonfinite-update",
        severity=Severity.ERROR,
        message=f"{name} of {track.optimizer} holds NaN or Inf for {counted(len(places), 'parameter')} (0 allowed): the "
        "gradients are finite",
        places=over_time.places(track, places),
        details=(
            ("because", f"a gradient or its square leaves the range of {worst.dtype}: what it is divided by is infinite"),
            ("help", "keep the weights and the state in float32 and run the passes under torch.autocast; clip the gradients"),
        ),
        got=float(len(places)),
        bound=0.0,
    )


def _broken(track: Track, moment: Moment) -> Finding:
    worst, many = track.parameters[moment.broken[0]], counted(len(moment.broken), "parameter")
    group = track.groups[worst.group]
    drowned = group.eps is not None and group.eps <= SMALLEST.get(worst.dtype, 0.0)
    because = f"eps = {group.eps:.2g} of {group.optimizer} is 0 in {worst.dtype}: a small gradient is divided by 0"
    return Finding(
        rule="nonfinite-update",
        severity=Severity.ERROR,
        message=f"step {moment.step} of {track.optimizer} makes NaN or Inf of {many} (0 allowed): its gradients are finite",
        places=over_time.places(track, moment.broken),
        details=(
            (
                "because",
                because if drowned else f"its state does not hold, at lr {moment.lr[worst.group]:.3g} in {worst.dtype}",
            ),
            ("help", "keep the weights in float32 and run the passes under torch.autocast, or set a larger eps"),
        ),
        got=float(len(moment.broken)),
        bound=0.0,
    )


def _finding(trace: Trace, step: StepTrace, rows: Sequence[ParameterStep], count: int) -> Finding:
    worst = max(rows, key=lambda row: row.nonfinite_weight)
    group = step.groups[worst.group or 0]
    entries = sum(row.nonfinite_weight for row in rows)
    state = next((row.nonfinite_state for row in rows if row.nonfinite_state), "")
    drowned = group.eps is not None and group.eps <= SMALLEST.get(worst.dtype, 0.0)
    if worst.nonfinite_gradient:
        because = (
            f"the gradient that {group.optimizer} saw is not finite in {worst.nonfinite_gradient} entries: nothing skipped it"
        )
        advice = "step through the scaler, scaler.step(optimizer), which skips such a step; or find what overflows"
    elif drowned:
        because = f"eps = {group.eps:.2g} of {group.optimizer} is 0 in {worst.dtype}: a small gradient is divided by 0"
        advice = "keep the weights in float32 and run the passes under torch.autocast, or set eps=1e-4"
    else:
        because = f"{state or 'the update'} of {group.optimizer} leaves the range of {worst.dtype} at lr {group.lr:.3g}"
        advice = "a smaller learning rate, clipped gradients, or float32 weights"
    holds = f"{entries} entries of {len(rows)} parameters" if entries else f"{state} of {len(rows)} parameters"
    return Finding(
        rule="nonfinite-update",
        severity=Severity.ERROR,
        message=f"{holds} are NaN or Inf after {count} {'step' if count == 1 else 'steps'} of {group.optimizer} (0 allowed)",
        places=steps.places(trace, sorted(rows, key=lambda row: -row.nonfinite_weight), state),
        details=(("because", because), ("help", advice)),
        got=float(entries or len(rows)),
        bound=0.0,
    )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    model = model.to(torch.float16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, eps=1e-4)
    return Training(model, optimizer=optimizer)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(64, 16)
            self.head = nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scaled: torch.Tensor = self.head(self.table(x)) * 1e-3
            return scaled

    model = Scaled().to(torch.float16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return Training(model, torch.arange(64), optimizer=optimizer)
