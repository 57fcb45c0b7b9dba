"""Backward itself raises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.writes import Clobbered

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

    How it is measured: one backward pass; of a model that keeps results with their graph in attributes, and builds the
    next forward on them, also on the next batches. Where a write in place is to blame, one more pass in which everything that
    the graph saves is watched: which line writes, and which operation needed the value.

    When it is legitimate: models that are only ever used for inference; there is no gradient to be healthy then.

    How to fix: mostly an in-place operation on a tensor that backward needs, or a cached tensor from an earlier pass.

    How to silence: ignore={"failed-backward": "inference only"}.
    """
    for fact in ("read_again", "after_steps") if trace.carried and not trace.backward_error else ():
        if fact not in trace.facts:
            yield Need(fact)
            return
        if fact == "read_again" and trace.facts[fact] and not any(one.carried for one in trace.facts[fact]):
            return
    later = trace.facts.get("after_steps", ()) if trace.carried else ()
    raised = next((one.backward_error for one in (trace, *later) if one.backward_error), "")
    if "inplace" in raised and "clobbered" not in trace.facts:
        yield Need("clobbered")
        return
    if raised:
        victims = [one for fact in trace.facts.get("clobbered", ()) for one in fact.clobbered]
        text = next((hint for key, hint in _HELP if key in raised), "run loss.backward() under torch.autograd.detect_anomaly()")
        kept = () if trace.backward_error else (("starts", f"{', '.join(trace.carried[:4])}: kept from batch to batch"),)
        yield Finding(
            rule="failed-backward",
            severity=Severity.ERROR,
            message=f"backward raised an error{' on the second batch' if kept else ''}: the model cannot be trained",
            places=(*(Place(name, "") for name in trace.carried if kept), *_where(trace, victims)),
            details=(*kept, *_overwritten(trace, victims), ("because", raised), ("help", text)),
        )


def _where(trace: Trace, victims: Sequence[Clobbered]) -> tuple[Place, ...]:
    """The lines that write; the model itself where none is known."""
    lines = dict.fromkeys((one.layer, one.source, one.op) for one in victims)
    return tuple(_place(trace, *line) for line in lines) or (Place("", trace.model),)


def _overwritten(trace: Trace, victims: Sequence[Clobbered]) -> Iterator[tuple[str, str]]:
    for one in victims[:1]:
        yield "starts", f"{_place(trace, one.layer, one.source, one.op)} writes into a tensor of {list(one.shape)}"
        maker = _place(trace, one.saved_layer, one.saved_source, one.saved_by)
        yield "needed by", f"{maker}, which saved it for its backward"


def _place(trace: Trace, layer: str, source: str | None, op: str) -> Place:
    return Place(layer, trace.layers[layer].kind if layer in trace.layers else "", source, op)


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
