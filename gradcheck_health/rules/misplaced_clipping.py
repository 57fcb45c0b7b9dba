"""Gradients that are clipped at the wrong moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.step import StepEvent, StepTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


_BECAUSE = {
    "before": "backward writes the gradients after they were clipped",
    "after": "they are clipped after the step, and the next backward writes new ones",
    "scaled": "they are still multiplied by the loss scale of {scale:.3g}: the threshold cuts a {scale:.3g}th of what it says",
}
_HELP = {
    "before": "loss.backward(), then clip_grad_norm_, then optimizer.step()",
    "after": "loss.backward(), then clip_grad_norm_, then optimizer.step()",
    "scaled": "scaler.unscale_(optimizer) before clip_grad_norm_",
}


def misplaced_clipping(trace: Trace) -> Iterator[Finding]:
    """Gradients are clipped before backward has written them, after the step, or before they are unscaled.

    What it does: follows the order of backward, unscale_, clip and step in a training step of your own.

    Why it is bad: clipped too early or too late nothing is clipped at all, and the run explodes as if the line were not there.
    Clipped before unscale_ the threshold meets gradients that are 65536 times too large: every step is cut down to almost
    nothing, whatever its size.

    How it is measured: the step is watched; each clip is compared with the last backward pass that wrote to the same
    parameters before the optimizer's step. Only a given step shows it: assert_step_healthy, the fixture's
    gradhealth.step.

    When it is legitimate: clipping after each of several accumulated passes, as long as one follows the last of them.

    How to fix: backward, then scaler.unscale_(optimizer) where a scaler is used, then clip_grad_norm_, then step.

    How to silence: ignore={"misplaced-clipping": "the reason"}.
    """
    found: dict[str, tuple[StepTrace, StepEvent, int]] = {}
    taken = steps.given(trace)
    for k, step in enumerate(taken):
        known = _misplaced(step, first=k == 0)
        if known is not None:
            reason, clip = known
            found[reason] = (step, clip, found.get(reason, (step, clip, 0))[2] + 1)
    for reason, (step, clip, count) in found.items():
        scale = step.scale or 1.0
        yield Finding(
            rule="misplaced-clipping",
            severity=Severity.ERROR,
            message=f"gradients are clipped {_when(reason)} in {count} of {len(taken)} steps (0 allowed)",
            places=(Place("", "", clip.source, f"clip by {clip.by}"),),
            details=(("because", _BECAUSE[reason].format(scale=scale)), ("help", _HELP[reason])),
            got=float(count),
            bound=0.0,
        )


def _when(reason: str) -> str:
    return {"before": "before backward has written them", "after": "after the step", "scaled": "before they are unscaled"}[
        reason
    ]


def _misplaced(step: StepTrace, *, first: bool) -> tuple[str, StepEvent] | None:
    """Why no clip of this step cuts what the optimizer sees, and the clip; None where one does, or there is none."""
    seen = steps.events(step)
    end = next((i for i, event in enumerate(seen) if event.kind == "step"), None)
    if end is None:
        return None
    lead, groups = seen[:end], set(seen[end].groups)
    clips = [(i, event) for i, event in enumerate(lead) if event.kind == "clip" and groups & set(event.groups)]
    if not clips or any(event.kind == "backward" for event in seen[end:]):  # a closure does it all inside of the step
        return None
    i, clip = clips[-1]
    written = [j for j, event in enumerate(lead) if event.kind == "backward" and set(event.groups) & set(clip.groups)]
    if written and written[-1] > i:
        return ("before" if first or not clip.parameters or written[0] < i else "after"), clip
    if step.scale is not None and step.scale != 1.0 and not _unscaled(lead, written[-1] if written else 0, i):
        return "scaled", clip
    return None


def _unscaled(events: Sequence[StepEvent], start: int, end: int) -> bool:
    return any(event.kind == "unscale" for event in events[start:end])


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
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
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
        loss = model(x).square().mean()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        loss.backward()
        optimizer.step()

    return Training(model, x, optimizer=optimizer, step=step)
