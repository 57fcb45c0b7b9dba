"""How the gradient flows from the output back to the first layer: ratios, stretches, shape and what is to blame."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gradcheck_health.records.flow_ratio import branches_off, flow_ratio, keeps
from gradcheck_health.records.measurements import CutPoint
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import statistics

SGD_LEARNS_ABOVE = 10**-4.1
"""The limit of vanishing-gradient for SGD, 8e-5. zero-gradient and saturated-activation ask nothing of a flow above it."""
LINEAR = ("Addmm", "Mm", "Bmm", "Convolution", "Linear", "Conv", "ConvTranspose", "UnsafeView", "View", "Baddbmm")
BATCH_NORM_GAIN = math.sqrt(math.pi / (math.pi - 1))
"""Norm gain of batch norm + ReLU a layer, backward (Yang et al. 2019, A Mean Field Theory of Batch Normalization): 1.21."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """From one cut point back to the next: the gradient passes through the operation of `point`."""

    point: CutPoint
    keeps: float
    """Norm behind over norm before; below 1 the gradient shrinks."""

    @property
    def branches_off(self) -> bool:
        """The stream goes on elsewhere, and what one branch of it passes is no statement about health."""
        return branches_off(self.point, self.keeps)


def ratio(trace: Trace) -> float | None:
    """Gradient norm at the first cut point over the norm at the last, stretches that branch off left out.

    None where the flow cannot be judged.
    """
    return None if trace.flow_note else flow_ratio(trace.flow)


def fact_ratios(trace: Trace) -> list[float]:
    """The ratio at the given weights, at the kicked point and after three steps, as far as they are known."""
    traces = [trace, *trace.facts.get("kicked", ()), *trace.facts.get("after_steps", ())[3:4]]
    return [value for one in traces if (value := ratio(one)) is not None]


def shrinks(trace: Trace) -> bool:
    """Learnt factors that start near zero make some gradients small: the fact `opened` shows how small they are without."""
    return any(p.trainable and p.shrunk < 1.0 for p in trace.parameters.values())


def opened_ratios(trace: Trace) -> list[float]:
    """The ratio with those factors half open, as far as it can be judged: at least what they shrink makes up then; measured."""
    open_ = [dataclasses.replace(point, gradient=point.gradient * opens(point)) for point in trace.flow]
    made_up = [] if trace.flow_note or all(point.shrunk == 1.0 for point in trace.flow) else [flow_ratio(open_)]
    measured = [ratio(one) for one in trace.facts.get("opened", ())]
    return [value for value in (*made_up, *measured) if value is not None]


def opens(point: CutPoint) -> float:
    """How many times more comes to a cut point, at least, once the small factors on the way to it are half open.

    Each of them is below a tenth, so there are no more of them than their product has decades, and each is a half then.
    """
    return math.pow(point.shrunk, math.log10(2) - 1)


def seed_ratios(trace: Trace) -> list[float]:
    """The ratio under this seed and the further ones."""
    return [value for one in (trace, *trace.facts.get("reseeded", ())) if (value := ratio(one)) is not None]


def undecided(trace: Trace, limit: float) -> bool:
    """The sequential test over seeds wants another one.

    It ends as soon as the one-sided 99 % bound of the mean log ratio lies on either side of the limit, when as many rounds as
    are allowed are over, or where another seed changes nothing.
    """
    further = trace.facts.get("reseeded", ())
    if not further:
        return trace.rounds > 1
    if len(further) + 1 >= trace.rounds or not further[-1].varied:
        return False
    values = [log10(value) for value in seed_ratios(trace)]
    return statistics.lower_mean(values) <= log10(limit) <= statistics.upper_mean(values)


def confirmed(trace: Trace, limit: float, growing: bool = False) -> bool:
    """The whole one-sided 99 % bound over the seeds lies beyond the limit."""
    values = [log10(value) for value in seed_ratios(trace)]
    return statistics.lower_mean(values) > log10(limit) if growing else statistics.upper_mean(values) < log10(limit)


def log10(value: float) -> float:
    """Of a ratio; an exact zero counts as 1e-300."""
    return math.log10(max(value, 1e-300))


def is_rounding(trace: Trace) -> bool:
    """The gradient at the first layer is zero by algebra: float64 shrinks it ten thousandfold (the `float64` fact)."""
    kept = ratio(trace)
    wide = [value for one in trace.facts.get("float64", ()) if (value := ratio(one)) is not None]
    if kept is None or not wide:
        return False
    return any(a.single for a in trace.activations) if kept == max(wide) == 0.0 else max(wide) < 1e-4 * kept


def fades(trace: Trace) -> bool:
    """The gradient shrinks or grows 1e4 x and more over many layers: that is the cause of odd outputs and weights then."""
    kept = ratio(trace)
    return kept is not None and not 1e-4 < kept < 1e4 and shape(trace.flow) != "step"


def stretches(points: Sequence[CutPoint]) -> list[Stretch]:
    """On the way back: from the output to the first layer."""
    return [Stretch(above, keeps(below, above)) for below, above in itertools.pairwise(points)][::-1]


def shape(points: Sequence[CutPoint]) -> str:
    """step, exponential or irregular.

    Exponential: the mean rates of the output half and the input half have the same sign and min / max above 0.5: only that
    may be extrapolated to other depths. Step: one stretch holds most of the loss or growth.
    """
    rates = [log10(stretch.keeps) for stretch in stretches(points)]
    total = sum(rates)
    if len(rates) < 2 or total == 0.0:
        return "step"
    if max(rate / total for rate in rates) > 0.5:
        return "step"
    half = len(rates) // 2
    out_rate, in_rate = sum(rates[:half]) / half, sum(rates[half:]) / (len(rates) - half)
    if out_rate * in_rate <= 0:
        return "irregular"
    low, high = sorted((abs(out_rate), abs(in_rate)))
    return "exponential" if low / high > 0.5 else "irregular"


@dataclass(frozen=True, slots=True)
class Blame:
    """The kind of operation that most of a loss (or growth) happens in."""

    op: str
    culprits: tuple[Stretch, ...]
    """Its stretches with a part in it, on the way back."""
    share: float
    """Of the whole, on a log scale."""

    @property
    def keeps(self) -> float:
        """Geometric mean over the culprits."""
        return math.pow(10.0, sum(log10(s.keeps) for s in self.culprits) / len(self.culprits))


def blame(points: Sequence[CutPoint], growing: bool = False, weighted: Collection[str] | None = None) -> Blame | None:
    """What attenuates, or amplifies, the gradient most; None for fewer than two points.

    Args:
        weighted: layers that hold weights, where known: matrix products elsewhere are a "product" and no "linear" layer.
    """
    sign = 1.0 if growing else -1.0
    groups: dict[str, list[Stretch]] = defaultdict(list)
    for stretch in stretches(points):
        if not stretch.branches_off:
            op = kind(stretch.point.op)
            elsewhere = op == "linear" and weighted is not None and stretch.point.layer not in weighted
            groups["product" if elsewhere else op].append(stretch)
    amounts = {op: sum(max(0.0, sign * log10(s.keeps)) for s in members) for op, members in groups.items()}
    whole = sum(amounts.values())
    if whole <= 0.0:
        return None
    op = max(amounts, key=lambda name: amounts[name])
    culprits = tuple(s for s in groups[op] if sign * log10(s.keeps) > 0.02)
    return Blame(op, culprits or tuple(groups[op]), amounts[op] / whole)


def kind(op: str) -> str:
    """Operations that are one thing to the user: matrix products and convolutions are linear layers."""
    return "linear" if op in LINEAR else op


def batch_norms(points: Sequence[CutPoint]) -> int:
    return sum("BatchNorm" in point.op for point in points)
