"""Losses that are handed something else than they take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import constants

if TYPE_CHECKING:
    from torch import nn


def misread_loss(trace: Trace) -> Iterator[Finding | Need]:
    """A loss is handed something else than it takes: probabilities for logarithms or for logits, targets out of its range.

    What it does: examines what enters the losses of torch: nll_loss, kl_div and ctc_loss take log-probabilities,
    cross_entropy takes logits of at least two classes, and class indices below their number, kl_div a target of
    probabilities, binary_cross_entropy probabilities, both binary cross entropies a target from 0 to 1,
    hinge_embedding_loss and soft_margin_loss a target of -1 and 1. A regression (mse_loss, l1_loss ...) whose prediction ends
    in a sigmoid, tanh, softmax or ReLU cannot get to targets outside of its range: a warning where a tenth of them lie there,
    and where binary logits that end in a ReLU or softplus, never negative, have a tenth of their targets below a half.
    A warning, too, is a loss written by hand that one and the same output makes zero for every sample, whatever the targets:
    the logarithm of what no softmax was taken of. kl_div with reduction="mean", logits that end in a ReLU, and sixteen and
    more targets of one class are notes. What torch itself refuses (scores outside of 0 to 1, class indices out of range) ends
    the check with the same words.

    Why it is bad: mostly nothing raises. With probabilities nll_loss is -p instead of -log p: its gradient does not grow when
    the model is wrong, and the loss goes below 0; kl_div has no minimum where the distributions agree.

    How it is measured: the range of what is handed over, and whether its rows sum to one. An entry above 0 is no
    log-probability. Of a loss by hand the best constant output is looked for, as for high-initial-loss. The result of
    softmax or sigmoid that enters a loss which applies it again is left to double-softmax.

    When it is legitimate: never for the functions above; a margin or a density of your own is not examined.

    How to fix: log_softmax before nll_loss, kl_div and ctc_loss; logits for cross_entropy; targets in the range that the loss
    documents.

    How to silence: ignore={"misread-loss": "the reason"}.
    """
    yield from _nothing_asked(trace)
    doubles = {pair.second for pair in trace.double_softmaxes}
    found = [one for one in trace.misread if not (one.function == "cross_entropy" and doubles)]
    if trace.inputs.made_up and trace.objective == "the model's own loss":
        found = [one for one in found if not one.reach]  # the targets were made up, too
    for function, got in dict.fromkeys((one.function, one.got) for one in found):
        calls = [one for one in found if (one.function, one.got) == (function, got)]
        places = []
        for one in calls:
            layer = trace.layers.get(one.layer)
            places.append(Place(one.layer, layer.kind if layer else "", one.source, function))
        yield Finding(
            rule="misread-loss",
            severity=Severity.NOTE if calls[0].minor else Severity.WARNING if calls[0].reach else Severity.ERROR,
            message=f"{function} is handed {got}, and takes {calls[0].wanted.partition(':')[0].partition(';')[0]} "
            f"({len(calls)} found, 0 allowed)",
            places=tuple(dict.fromkeys(places)),
            details=(("help", f"{function} takes {calls[0].wanted}"),),
            got=float(len(calls)),
            bound=0.0,
        )


def _nothing_asked(trace: Trace) -> Iterator[Finding | Need]:
    """A loss that is zero at a constant: outputs that compete for nothing."""
    if trace.objective != "the given loss" or trace.loss is None or not math.isfinite(trace.loss) or trace.loss <= 0:
        return
    if "constant_predictor" not in trace.facts:
        if constants.may_be_better(trace, 0.8):
            yield Need("constant_predictor")
        return
    if constants.asks_for_nothing(trace):
        one = trace.facts["constant_predictor"][0].constants[0]
        last = trace.parameters.get(one.weight)
        yield Finding(
            rule="misread-loss",
            severity=Severity.WARNING,
            message=f"one output, the same for all samples, makes the loss 0 whatever the targets (it is {one.loss:.3g} now)",
            places=() if last is None else (Place(last.layer, last.kind, None, "the last layer"),),
            details=(
                (
                    "because",
                    f"nothing in the loss holds an output back: entries of {one.reach:.3g} everywhere satisfy every target",
                ),
                (
                    "help",
                    "make the outputs compete: a softmax in front of the logarithm (or cross_entropy on the logits), 1 - p",
                ),
            ),
            got=1.0,
            bound=0.0,
        )


def healthy() -> nn.Module:
    import torch
    from torch import nn

    class Student(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            teacher = torch.softmax(x[:, :4], -1)
            student = self.body(x).log_softmax(-1)
            return nn.functional.kl_div(student, teacher, reduction="sum")

    return Student()


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Student(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            teacher = torch.softmax(x[:, :4], -1)
            student = self.body(x).softmax(-1)
            return nn.functional.kl_div(student, teacher, reduction="sum")

    return Student()
