"""What several rules read off the steps of an optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from gradcheck_health.records.finding import Place
from gradcheck_health.records.step import ParameterStep, StepEvent, StepTrace
from gradcheck_health.records.trace import Trace

FACT = "more_steps"
SPACING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
"""Half a unit in the last place of 1: a relative change below it leaves a number as it is. Of bfloat16 2^-9 to 2^-8."""


def first_step(trace: Trace) -> StepTrace | None:
    """The first step, if an optimizer took one."""
    return next((step for step in trace.steps if step.taken), None)


def series(trace: Trace) -> tuple[StepTrace, ...]:
    """The steps of the fact `more_steps`; empty where it could not be measured."""
    return next((other.steps for other in trace.facts.get(FACT, ())), ())


def has_loss(trace: Trace) -> bool:
    """Steps along a random projection have a direction, and no size that would mean anything."""
    return trace.objective != "random projection" and bool(trace.steps) and trace.steps[0].loss is not None


def ratios(step: StepTrace) -> dict[str, float]:
    """|dw| / |w| of each weight whose learning rate is what it will be: a warm-up is known by its scheduler."""
    found = {}
    for one in step.weights():
        ratio = one.ratio
        if ratio is not None and one.group is not None and not step.groups[one.group].warming_up:
            found[one.name] = ratio
    return found


def typical(steps: Iterable[StepTrace]) -> dict[str, float]:
    """Weight -> the median of its |dw| / |w| over the steps."""
    rows: dict[str, list[float]] = {}
    for step in steps:
        for name, ratio in ratios(step).items():
            rows.setdefault(name, []).append(ratio)
    return {name: median(values) for name, values in rows.items()}


def places(trace: Trace, rows: Iterable[ParameterStep], note: str = "") -> tuple[Place, ...]:
    """The parameters of some rows, as places of a finding."""
    found = []
    for row in rows:
        known = trace.parameters.get(row.name)
        found.append(Place(row.name, "" if known is None else known.kind, row.source, note))
    return tuple(found)


def optimizers(step: StepTrace) -> str:
    """Class names of the optimizers, "AdamW and SGD"."""
    return " and ".join(dict.fromkeys(group.optimizer for group in step.groups)) or "the optimizer"


def given(trace: Trace) -> tuple[StepTrace, ...]:
    """The steps of the user's own that were taken."""
    return tuple(step for step in trace.steps if step.by == "the given step" and step.taken)


def events(step: StepTrace) -> tuple[StepEvent, ...]:
    """Those of this step: what led to a step that the scaler skipped is over when its gradients were unscaled."""
    cut = 0
    unscaled = False
    for i, event in enumerate(step.events):
        if event.kind == "backward" and unscaled:
            cut, unscaled = i, False
        unscaled |= event.kind == "unscale"
    return step.events[cut:]
