"""Backward itself raises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn

_HELP = (
    ("inplace", "an in-place operation overwrote what backward needs: x = x + y instead of x += y, or clone() first"),
    (
        "second time",
        "something computed in an earlier pass is used again: detach() what is cached between calls, or compute it again",
    ),
)


def failed_backward(trace: Trace) -> Iterator[Finding | Need]:
    """Backward raises an error, so that the model cannot be trained at all.

    What it does: reports what torch raised when the gradient was asked for.

    Why it is bad: training stops at the first step.

    How it is measured: one backward pass; of a model that keeps results with their graph in attributes, also on the
    next batches, where what was kept is read.

    When it is legitimate: models that are only ever used for inference; there is no gradient to be healthy then.

    How to fix: mostly an in-place operation on a tensor that backward needs, or a cached tensor from an earlier pass.

    How to silence: ignore={"failed-backward": "inference only"}.
    """
    if trace.carried and not trace.backward_error and "after_steps" not in trace.facts:
        yield Need("after_steps")
        return
    later = trace.facts.get("after_steps", ()) if trace.carried else ()
    raised = next((one.backward_error for one in (trace, *later) if one.backward_error), "")
    if raised:
        text = next((hint for key, hint in _HELP if key in raised), "run loss.backward() under torch.autograd.detect_anomaly()")
        kept = () if trace.backward_error else (("starts", f"{', '.join(trace.carried[:4])}: kept from batch to batch"),)
        yield Finding(
            rule="failed-backward",
            severity=Severity.ERROR,
            message=f"backward raised an error{' on the second batch' if kept else ''}: the model cannot be trained",
            places=(*(Place(name, "") for name in trace.carried if kept), Place("", trace.model)),
            details=(*kept, ("because", raised), ("help", text)),
        )


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True))


def sick() -> nn.Module:
    import torch
    from torch import nn

    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.sigmoid(self.fc(x))
            z = y * 2
            y += 1
            return z + y.square()

    return InPlace()
