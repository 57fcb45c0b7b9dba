"""Inputs that people do have and that break the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.edges import EdgeInput
from gradcheck_health.records.finding import Finding, Need, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import origins

if TYPE_CHECKING:
    from torch import nn


FEWEST = 16
"""Samples of a batch beside which the few that are tried cost little."""


def fragile_input(trace: Trace) -> Iterator[Finding | Need]:
    """The gradient is finite on this batch, and NaN or Inf with a row of zeros, two equal rows, or a mask over all.

    What it does: where the graph holds an operation without a derivative somewhere (sqrt, norm, std, log, a division by what
    depends on the data, a softmax over what a mask leaves), tries a small batch with a row of zeros, a constant row, two equal
    rows, a mask of zeros and of ones, and a single step where the model takes steps.

    Why it is bad: such a row comes once in ten thousand batches, a blank image, a silent second, a text of padding, and one
    NaN reaches every weight in one step.

    How it is measured: one forward and one backward pass on four to nine samples; each kind alone where that is not finite,
    to name the operation. The outputs are judged by a projection, so targets do not matter. Beside a batch of fewer than 16
    samples that is no small cost: there it is done with edge_inputs=True only.

    When it is legitimate: where the data cannot hold such a row. It is a note, and an error with edge_inputs=True, which says
    that such rows do come (and tries inputs without any step, too).

    How to fix: an epsilon inside sqrt, norm and division; clamp a count at 1; leave one entry of each row unmasked.

    How to silence: ignore={"fragile-input": "the reason"}.
    """
    if not trace.declared.edge_inputs and (not trace.fragile or (trace.inputs.batch or 0) < FEWEST):
        return
    if "edge_inputs" not in trace.facts:
        yield Need("edge_inputs")
        return
    edges = next((one.edges for one in trace.facts["edge_inputs"]), ())
    for origin in dict.fromkeys(edge.origin for edge in edges):
        yield _finding(trace, [edge for edge in edges if edge.origin == origin])


def _finding(trace: Trace, edges: list[EdgeInput]) -> Finding:
    origin = edges[0].origin
    kinds = " and ".join((", ".join(edge.kind for edge in edges[:-1]), edges[-1].kind)) if len(edges) > 1 else edges[0].kind
    declared = trace.declared.edge_inputs
    because = "edge_inputs says that such inputs come" if declared else "the gradient is finite on the batch as it is"
    said = "a gradient is NaN or Inf (0 allowed)" if origin is None else origins.message(origin)
    return Finding(
        rule="fragile-input",
        severity=Severity.ERROR if declared else Severity.NOTE,
        message=f"with {kinds}, {said}",
        places=() if origin is None else (origins.place(origin, trace),),
        details=(
            ("because", because),
            ("help", "see where such an input is divided by, or normalised" if origin is None else origins.advice(origin)),
        ),
        got=float(len(edges)),
        bound=0.0,
    )


def healthy() -> nn.Module:
    import torch
    from torch import nn

    class Cosine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            length = (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()
            y: torch.Tensor = self.body(x / length)
            return y

    return Cosine()


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Cosine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            length = x.square().sum(-1, keepdim=True).sqrt()
            y: torch.Tensor = self.body(x / length)
            return y

    return Cosine()
