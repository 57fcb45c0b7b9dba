"""Models that start dead by chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.starts import Initialisations
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn

SURE = 2.0
"""Where the most that may be drawn has not decided, the likelihood ratio has to be e^2."""


def unlucky_initialisation(trace: Trace) -> Iterator[Finding | Need]:
    """A share of the initialisations starts dead, although others are sound.

    What it does: where everything passes through a rectifier of at most four units (a ReLU on a density, a narrow layer
    before the output), builds the model again up to 40 times and counts how often all of these units are off and half of the
    parameters get no gradient.

    Why it is bad: the run fails or succeeds by its seed, and the failure looks like a wrong learning rate. A dead start does
    not recover: no gradient reaches what would have to change.

    How it is measured: forward and backward once for each draw; a sequential test (Wald) between 2 % and 15 % ends it,
    mostly after three dead ones or about thirty live ones. It needs a factory: a class, a function, the command line.

    When it is legitimate: an ensemble that drops its dead members.

    How to fix: softplus or a shifted bias on a density, a wider layer, LeakyReLU, a positive bias before the rectifier.

    How to silence: ignore={"unlucky-initialisation": "the reason"}.
    """
    if not trace.anew:
        return
    if "initialisations" not in trace.facts:
        if _suspicious(trace):
            yield Need("initialisations")
        return
    seen = next((one.initialisations for one in trace.facts["initialisations"]), None)
    if seen is not None and seen.dead < seen.drawn and seen.score > SURE:
        yield _finding(trace, seen)


def _suspicious(trace: Trace) -> bool:
    """Everything passes through a rectifier of a few units, or all units of one are off."""
    crossed = {point.layer for point in trace.flow}
    narrow = [a for a in trace.activations if a.narrow]
    return any(a.off == a.units or a.layer in crossed or a.producer in crossed for a in narrow)


def _finding(trace: Trace, seen: Initialisations) -> Finding:
    names = seen.layers
    places = []
    for name in names:
        layer = trace.layers.get(name)
        places.append(Place(name, layer.kind if layer else "", None, "all its units off"))
    return Finding(
        rule="unlucky-initialisation",
        severity=Severity.ERROR,
        message=f"it starts dead in {seen.dead} of {seen.drawn} initialisations (2% allowed)",
        places=tuple(places),
        details=(
            ("because", f"{len(seen.silent)} of {len(trace.parameters)} parameters get no gradient then, and do in the others"),
            ("help", "softplus, LeakyReLU or a positive bias in the place of a ReLU on few units; or a wider layer"),
        ),
        got=seen.dead / seen.drawn,
        bound=0.02,
    )


def healthy() -> Callable[[], nn.Module]:
    import torch
    from torch import nn

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Linear(8, 32),
                nn.ReLU(),
                nn.Linear(32, 1),
                nn.Softplus(),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.body(x)
            return out

    return Wide


def sick() -> Callable[[], nn.Module]:
    import torch
    from torch import nn

    class Density(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Linear(8, 32),
                nn.Sigmoid(),
                nn.Linear(32, 1),
                nn.ReLU(),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.body(x)
            return out

    return Density
