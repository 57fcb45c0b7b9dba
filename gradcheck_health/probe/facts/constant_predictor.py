"""The loss that an output without any knowledge of its sample would have."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable

import torch

from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.loss_input import Entering, entering
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import GradhealthError
from gradcheck_health.records.evidence import ConstantPredictor
from gradcheck_health.records.trace import Trace

STEPS = 30
"""Of L-BFGS, in which nothing but the loss is evaluated."""
_PATIENCE, _NO_GAIN = 5, 1e-3
"""So many evaluations that lower the loss by less than that share of it; verdicts are about factors."""
NEAR = 10.0
_PAIRED = 1e-3


def constant_predictor(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `constants`: of this batch, and of a second one where another can be drawn."""
    subjects = [subject] if subject.inputs.resample is None else [subject, subject.reseeded(subject.seed + 1)]
    found: list[ConstantPredictor] = []
    names = {id(entry.tensor): entry.name for entry in named_parameters(unwrap(subject.model))}
    with sandbox(subject.model):
        for one in subjects:
            try:
                seen = entering(one)
                found += [] if seen is None else [dataclasses.replace(best_constant(seen), weight=names.get(seen.made_by, ""))]
            except (GradhealthError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
                break  # a loss that takes no other output than the model's
    return (trace.only(constants=tuple(found)),) if found else (trace.only(),)


def best_constant(seen: Entering) -> ConstantPredictor:
    """The loss at constant outputs: one vector for all samples.

    Raises:
        ValueError: there is nothing constant about an output of one sample.
    """
    y = _wide(seen)
    axes = tuple(axis for axis in range(y.dim()) if axis != seen.classes) if seen.classes is not None else (0,)
    if math.prod(y.shape[axis] for axis in axes) < 2:
        raise ValueError("one sample")
    link = seen.link or (lambda constant: constant)

    def spread(constant: torch.Tensor) -> torch.Tensor:
        if seen.classes is None:
            return constant.expand(y.shape).clone()
        return constant.reshape([-1 if axis == seen.classes else 1 for axis in range(y.dim())]).expand(y.shape).clone()

    def value(constant: torch.Tensor) -> float:
        with torch.no_grad():
            return float(seen.loss(spread(constant)))

    shape = y.mean(axes).shape
    zero = torch.zeros(shape, dtype=y.dtype, device=y.device)
    own = y.mean(axes) if seen.classes is None or seen.link is None else y.exp().mean(axes).log()
    starts = [zero]
    if seen.link is None:
        even = torch.full_like(zero, 1 / max(zero.shape[-1] if zero.dim() else 1, 2))
        starts += [own, even]  # a loss of probabilities written by hand, with its clamp: flat in the middle of nowhere
    at = [value(link(start)) for start in starts] + ([] if seen.link is None else [value(own)])
    neutral = min((v for v in at if math.isfinite(v)), default=math.nan)
    start = starts[min(range(len(starts)), key=lambda k: at[k] if math.isfinite(at[k]) else math.inf)]
    best, constant = _lowest(lambda c: seen.loss(spread(link(c))), start, neutral)
    near = value(link(constant.clamp(-NEAR, NEAR)))
    return ConstantPredictor(
        loss=seen.value,
        neutral=neutral,
        best=min(best, neutral),
        near=near,
        reach=float(constant.abs().max()),
        output=float(y.square().mean().sqrt()),
        growth=_growth(seen, spread(link(constant))),
        paired=seen.by_hand and _pairs(seen),
    )


def _pairs(seen: Entering) -> bool:
    """The loss knows which output belongs to which target."""
    with torch.no_grad():
        turned = float(seen.loss(seen.prediction.roll(1, 0)))
    return abs(turned - seen.value) > _PAIRED * abs(seen.value)


def _wide(seen: Entering) -> torch.Tensor:
    """The prediction in float64 where the loss takes it: of prices around 200000 float32 sees no first step."""
    y = seen.prediction.double()
    try:
        with torch.no_grad():
            seen.loss(y)
    except (RuntimeError, TypeError, ValueError):
        return seen.prediction
    return y


def _growth(seen: Entering, base: torch.Tensor) -> float:
    """log2 of what the loss grows by where the output is twice as far from `base`, at least 1 and at most 2."""
    try:
        with torch.no_grad():
            farther = float(seen.loss(base + 2 * (seen.prediction.to(base) - base)))
    except (RuntimeError, ValueError):  # no probability any more
        return 1.0
    ratio = farther / seen.value if seen.value > 0 else 0.0
    return 1.0 if math.isnan(ratio) else math.log2(min(max(ratio, 2.0), 4.0))


def _lowest(loss: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, scale: float) -> tuple[float, torch.Tensor]:
    """The lowest loss that L-BFGS meets on its way from `start`, and where; it stops once it got going and gains no more."""
    start = start.detach()
    unit = _unit(loss, start)
    way = torch.zeros_like(start).requires_grad_()
    found, seen = [(math.inf, start)], []
    optimizer = torch.optim.LBFGS(
        [way], max_iter=STEPS, tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        point = start + unit * way
        value = loss(point)
        if float(value.detach()) < found[0][0]:
            found[0] = (float(value.detach()), point.detach().clone())
        seen.append(found[0][0])
        if _is_over(seen):
            raise StopIteration
        value = value / (abs(scale) or 1.0)  # a scale-free first step
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad(), contextlib.suppress(RuntimeError, StopIteration):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return found[0]


def _is_over(lowest: list[float]) -> bool:
    """It gains no more; what gained nothing yet may be far from anywhere, and gets three times as many evaluations."""
    least = _NO_GAIN * abs(lowest[-1])
    patience = _PATIENCE if lowest[0] - lowest[-1] > least else 3 * _PATIENCE
    return len(lowest) > patience and lowest[-patience - 1] - lowest[-1] <= least


def _unit(loss: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor) -> float:
    """As far as the lowest point of a parabola with this height and slope lies; 1 where that is nearer."""
    with torch.enable_grad():
        point = start.clone().requires_grad_()
        value = loss(point)
        (slope,) = torch.autograd.grad(value, point)
    steep = float(slope.norm())
    far = 2 * abs(float(value.detach())) / steep if steep > 0 else 1.0
    return min(max(far, 1.0), 1e12) if math.isfinite(far) else 1.0
