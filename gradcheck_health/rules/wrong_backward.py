"""A hand-written backward is not the derivative of its forward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gradcheck_health.records.evidence import CustomBackward
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn


def wrong_backward(trace: Trace, *, max_error: float = 0.01) -> Iterator[Finding | Need]:
    """The backward of a custom autograd.Function, or custom operator, disagrees with the derivative of its forward.

    What it does: takes each torch.autograd.Function and torch.library operator that forward meets, with the arguments
    that it gets there, and compares its backward with finite differences, entry by entry.

    Why it is bad: the model is trained by a gradient of something else. The loss falls all the same, more slowly and to
    another place, and nothing in the training curve tells.

    How it is measured: in float64, the slope of a random projection of the outputs by central differences in two step
    widths, at entries where the function is smooth (the two agree, and so do both sides). An error where the largest
    difference exceeds max_error (default 1 %) of the largest slope; from 1e-4 on a note, because solvers stop early.

    When it is legitimate: a gradient that is no derivative on purpose is not reported where forward is piecewise constant
    (rounding, spikes, codebooks: with all other inputs of that function), and where forward hands its input on
    unchanged (gradient reversal, scaling, clipping), or clamps it between two bounds that are both met and passes the
    gradient straight through. A backward that normalises or clips what arrives is no derivative on purpose, which a note
    says. An implicit gradient that is cut short looks like a wrong one: accept it with a reason.

    How to fix: derive the backward again, mind saved tensors, broadcasting (sum over the axes that were expanded) and the
    order of the gradients that are returned, and put torch.autograd.gradcheck into a test.

    How to silence: ignore={"wrong-backward:layer": "the reason"}.
    """
    if not trace.custom_functions:
        return
    if "custom_backward" not in trace.facts:
        yield Need("custom_backward")
        return
    for seen in trace.facts["custom_backward"]:
        for record in seen.backwards:
            yield from _finding(record, max_error)


def _finding(record: CustomBackward, allowed: float) -> Iterator[Finding]:
    where = Place(record.layer, record.name, record.source)
    if record.failed:
        text = f"the backward of {record.name} was not compared with its forward: {record.failed}"
        yield Finding("wrong-backward", Severity.NOTE, text, (where,))
        return
    if not record.wrong or record.same:
        return
    surrogate = record.flat > 0  # of another input
    severity = Severity.ERROR if record.error > allowed and not surrogate else Severity.NOTE
    if record.factor is not None:
        reason = f"it is {record.factor:.3g} x the derivative at every entry"
    elif surrogate:
        reason = "forward is piecewise constant in another input, so its backward is a surrogate on purpose"
    else:
        reason = f"{record.wrong} of {record.entries} entries differ, by no common factor"
    yield Finding(
        rule="wrong-backward",
        severity=severity,
        message=(
            f"the backward of {record.name} is off by {record.error:.2g} of the slope of its forward for input "
            f"{record.argument} (at most {allowed:.2g} allowed)"
        ),
        places=(where,),
        details=(
            ("because", reason),
            ("confirmed", "central differences in float64, two step widths, smooth entries only"),
            ("help", "derive the backward again, and put torch.autograd.gradcheck into a test"),
        ),
        got=record.error,
        bound=allowed,
    )


def healthy() -> nn.Module:
    import torch
    from torch import nn

    class Swish(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return x * torch.sigmoid(x)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            (x,) = ctx.saved_tensors
            s = torch.sigmoid(x)
            slope: torch.Tensor = s + x * s * (1 - s)
            return gradient * slope

    class Activation(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = Swish.apply(x)  # type: ignore[no-untyped-call]
            return y

    return nn.Sequential(nn.Linear(8, 16), Activation(), nn.Linear(16, 3))


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Swish(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return x * torch.sigmoid(x)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            (x,) = ctx.saved_tensors
            s = torch.sigmoid(x)
            slope: torch.Tensor = s + s * (1 - s)  # an x is missing
            return gradient * slope

    class Activation(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = Swish.apply(x)  # type: ignore[no-untyped-call]
            return y

    return nn.Sequential(nn.Linear(8, 16), Activation(), nn.Linear(16, 3))
