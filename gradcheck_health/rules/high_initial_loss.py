"""A loss that starts far above that of a constant output."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.evidence import ConstantPredictor
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import constants

if TYPE_CHECKING:
    from torch import nn


UNSURE = 2.0
"""So many times farther zeros have to be where another constant makes the loss zero: what such a loss asks for is not known."""


def high_initial_loss(trace: Trace, *, max_ratio: float = 5.0) -> Iterator[Finding | Need]:
    """The loss is many times that of a constant output, the same for every sample.

    What it does: compares the loss (given, or returned by the model) with the loss of an output that does not depend on
    the input: zeros, equal probabilities, the model's own mean output, and the best constant that a few optimisation steps
    find. Fires above max_ratio times the best constant's loss, where zeros or the mean output would already be max_ratio times
    better, or where the best constant has entries beyond 10. Of a loss that grows with the square of the outputs it
    is max_ratio squared: outputs that are as much too large.

    Why it is bad: the model starts out certain and wrong. The first steps do nothing but shrink its outputs, with
    gradients that are too large for the learning rate of everything after; a softmax or sigmoid saturates. A final
    layer that is too large, inputs of 0 to 255, a temperature applied twice and targets that were not normalised
    show here.

    How it is measured: the output is replaced by one vector for all samples (one number a class under cross entropy);
    only the loss is evaluated, never the model. It must hold on a second batch where one can be drawn. For a loss
    inside the model this is done where it is one call of cross_entropy, nll_loss, mse_loss, l1_loss, smooth_l1_loss,
    huber_loss or a binary cross entropy. Asked only where the pass that was made anyway allows it: a convex loss can
    be max_ratio times that of zeros only if |y| |dL/dy| at the last layer is at least 1 - 1/max_ratio of it.

    When it is legitimate: losses that can be negative or reach zero at an output of zeros (likelihoods of densities,
    contrastive losses, a norm of the output), and CTC, KL and ranking losses, have another base and are not judged; nor
    is a rare class, whose frequency the best constant knows and a fresh model does not. Where another constant reaches
    zero, zeros and equal probabilities are what is compared with.

    How to fix: zeros or a small std for the last layer, no large bias, inputs and targets normalised, or the last bias
    set to the mean of the targets.

    How to silence: ignore={"high-initial-loss": "the reason"}, or a larger max_ratio.
    """
    if trace.loss is None or not math.isfinite(trace.loss) or trace.loss <= 0:
        return
    if "constant_predictor" not in trace.facts:
        if constants.may_be_better(trace, 1 - 1 / max_ratio):
            yield Need("constant_predictor")
        return
    seen = [constant for one in trace.facts["constant_predictor"] for constant in one.constants]
    if constants.asks_for_nothing(trace):
        return  # the cause is the loss itself, which misread-loss reports
    if seen and all(_high(constant, max_ratio) for constant in seen):
        yield _finding(trace, seen, max_ratio)


def _high(constant: ConstantPredictor, max_ratio: float) -> bool:
    bound, floor = _bound(constant, max_ratio), constants.FLOOR * constant.loss
    if constant.best <= floor:  # of targets that are all alike; one that is negative has no base
        return constant.best >= -floor and constant.neutral > floor and constant.loss > UNSURE * bound * constant.neutral
    far = constant.loss > bound * constant.best and constant.near > max_ratio * constant.best
    return far or constant.loss > bound * constant.neutral


def _bound(constant: ConstantPredictor, max_ratio: float) -> float:
    """A sound He net under a squared error starts at 5 to 7 times the variance of its targets."""
    return float(max_ratio**constant.growth)


def _finding(trace: Trace, seen: list[ConstantPredictor], max_ratio: float) -> Finding:
    mildest = min(seen, key=lambda constant: constant.loss / max(constant.best, constants.FLOOR * constant.loss))
    # where a constant reaches zero, as of targets that are all alike, equal outputs are what is compared with
    reached = mildest.best if mildest.best > constants.FLOOR * mildest.loss else mildest.neutral
    ratio, bound = mildest.loss / reached, _bound(mildest, max_ratio)
    called = max((p for p in trace.parameters.values() if p.order >= 0), key=lambda p: p.order)
    last = trace.parameters.get(mildest.weight, called)
    if mildest.loss > bound * mildest.neutral:
        because = f"the outputs are too large or too far off, rms {mildest.output:.3g}; "
        because += f"without them the loss would be {mildest.neutral:.3g}"
        cause, advice = "outputs", "start the last layer with zeros or a small std, and normalise the inputs"
    else:
        because = f"the targets lie far from where the outputs start: the best constant has entries of {mildest.reach:.3g}"
        cause, advice = "targets", "normalise the targets, or set the last bias to their mean"
    batches = "1 batch, the only one there is" if len(seen) == 1 else f"{len(seen)} of {len(seen)} batches"
    return Finding(
        rule="high-initial-loss",
        severity=Severity.WARNING,
        message=f"the loss is {mildest.loss:.3g}, {ratio:.3g} x that of a constant output (at most {bound:.3g} allowed)",
        places=(Place(last.layer, last.kind, None, "the last layer"),),
        details=(("because", because), ("confirmed", batches), ("help", advice)),
        got=ratio,
        bound=bound,
        cause=cause,
    )


def healthy() -> nn.Module:
    import torch
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 16)
            self.head = nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = self.head(torch.relu(self.body(x)))
            return nn.functional.cross_entropy(logits, torch.arange(len(x)) % 4)

    return Classifier()


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Certain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 16)
            self.head = nn.Linear(16, 4)
            nn.init.normal_(self.head.weight, std=20.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = self.head(torch.relu(self.body(x)))
            return nn.functional.cross_entropy(logits, torch.arange(len(x)) % 4)

    return Certain()
