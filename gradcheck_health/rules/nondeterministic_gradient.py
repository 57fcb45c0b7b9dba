"""Two identical passes give different gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn


SMALL = 100_000
NUMBERS = 300_000
"""Up to so many parameters, and numbers out of layers for three samples, two more passes are a matter of milliseconds."""


def nondeterministic_gradient(trace: Trace) -> Iterator[Finding | Need]:
    """Two passes with the same seed, weights, state and batch give different outputs or gradients.

    What it does: runs forward and backward twice on three samples, with everything restored in between, and compares every
    bit.

    Why it is bad: a failure cannot be repeated, a bisection of two versions says nothing, and tests flicker.

    How it is measured: a difference in any bit of an output or of a parameter's gradient. The operation is named: one
    that torch itself calls nondeterministic, or the first whose result differs. Always a note. A model of more than
    100 000 parameters, or whose layers return more than 300 000 numbers for three samples, is not examined, because two
    passes cost time.

    When it is legitimate: atomic additions on a GPU (scatter, embedding, interpolation) are the price of speed.

    How to fix: torch.use_deterministic_algorithms(True); draw random numbers from torch's generators only, not from the
    clock, os.urandom, a generator object of your own that is never seeded, or the order of a set.

    How to silence: ignore={"nondeterministic-gradient": "the reason"}.
    """
    if trace.backward_error or not _small(trace):
        return
    if "twice" not in trace.facts:
        yield Need("twice")
        return
    for seen in trace.facts["twice"]:
        for difference in seen.differences:
            names = ", ".join(difference.names[:4]) or "the output"
            where = Place(difference.layer, difference.kind, difference.source, difference.op)
            yield Finding(
                rule="nondeterministic-gradient",
                severity=Severity.NOTE,
                message=f"two equal passes differ by {difference.largest:.2g} of the largest entry in the {difference.what}",
                places=(where,),
                details=(
                    ("because", f"{difference.op or 'an operation that was not seen'} gives another result each time"),
                    ("differing", names),
                    ("help", "torch.use_deterministic_algorithms(True), or seed what draws"),
                ),
                got=difference.largest,
                bound=0.0,
            )


def _small(trace: Trace) -> bool:
    """Two passes cost next to nothing."""
    if sum(p.value.numel for p in trace.parameters.values()) > SMALL:
        return False
    numbers = sum(layer.output.numel for layer in trace.layers.values() if layer.output is not None)
    return numbers * min(1.0, 3 / (trace.inputs.batch or 1)) <= NUMBERS


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(16, 32),
        nn.Dropout(0.5),
        nn.ReLU(),
        nn.Linear(32, 4),
    )


def sick() -> nn.Module:
    import os

    import torch
    from torch import nn

    class Noisy(nn.Module):
        """Draws from the operating system, which no seed reaches."""

        def __init__(self) -> None:
            super().__init__()
            self.enter, self.leave = nn.Linear(16, 32), nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            noise = torch.tensor([byte / 255 for byte in os.urandom(32)])
            y: torch.Tensor = self.leave(self.enter(x) * noise)
            return y

    return Noisy()
