"""Weights of one sign, one behind another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.evidence import OneSided
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn

LINE = 0.9
"""Share of the largest principal component from which on features lie on one line."""
_OPEN = 0.5
"""Of what enters the first of the weights: inputs of few dimensions lie on a line anyway."""


def one_sided_weight(trace: Trace) -> Iterator[Finding | Need]:
    """Two layers or more have weights of one sign, and the features of all samples lie on one line behind them.

    What it does: finds wide weights (48 units of 48 inputs, at least) all of whose entries are positive, or all negative:
    torch.rand or uniform_(0, 1) where randn was meant, or an abs() in the initialisation.

    Why it is bad: every unit computes nearly the same sum of its inputs, and what tells samples apart is small beside it.
    One direction is so steep that SGD diverges at any rate at which the others learn. Two such layers of three hidden ones,
    64 and 256 wide, with ReLU or tanh, took SGD 2.5 to more than 13 times as many steps as random ones, Adam 2 to 5.5
    times; a batch normalisation behind each of them changes little.

    How it is measured: the sign of up to 256 sampled entries of each weight; then a forward pass: of the directions from
    sample to sample (or position to position) the largest principal component takes at least 0.9 in what enters the last
    weight of the model, or a third one of one sign, and less than 0.5 in what enters the first. Always a warning. Behind
    random weights it takes 0.1 to 0.5 (0.65 behind 20 layers of ReLU), behind layers of one sign 0.9 to 1.

    When it is legitimate: weights that have to be positive, as in monotone and input-convex networks: start them smaller
    than a variance of 1 / fan_in asks, with negative biases, and with skip connections from the input. A single layer of
    one sign learns, and so do several with a layer normalisation behind each, which takes the common sum out.

    How to fix: draw from both sides of zero: randn, kaiming_normal_, xavier_uniform_, uniform_(-a, a).

    How to silence: ignore={"one-sided-weight:monotone.*": "positive by design"}.
    """
    trainable = {p.name for p in trace.parameters.values() if p.trainable and p.order >= 0 and p.gradient is not None}
    if sum(one.parameter in trainable for one in trace.one_sided) < 2:
        return
    if "one_line" not in trace.facts:
        yield Need("one_line")
        return
    found = [one for seen in trace.facts["one_line"] for one in seen.one_sided]
    share = _line(found)
    if share is None or share < LINE:
        return
    if "detailed" not in trace.facts:
        yield Need("detailed")
        return
    seen = trace.closest
    weights = sum(p.role == "weight" and p.trainable for p in trace.parameters.values())
    yield Finding(
        rule="one-sided-weight",
        severity=Severity.WARNING,
        message=(
            f"the entries of {len(found)} of {weights} weights have one sign each, and {share:.2g} of what tells samples "
            f"apart behind them is one direction (at most {LINE:g} allowed)"
        ),
        places=tuple(
            Place(p.name, p.kind, p.source, "one sign")
            for one in found
            if (p := seen.parameters.get(one.parameter)) is not None
        ),
        details=(
            ("because", "every unit adds up its inputs in nearly the same way, so all of them compute nearly the same feature"),
            ("help", "draw from both sides of zero: randn instead of rand, kaiming_normal_, xavier_uniform_, uniform_(-a, a)"),
        ),
        got=share,
        bound=LINE,
    )


def _line(found: list[OneSided]) -> float | None:
    """The largest share behind two of them; None where there are no two, or what enters the first lies on a line already."""
    if len(found) < 2 or found[0].before is None or found[0].before >= _OPEN:
        return None
    return max((share for share in (found[0].after, *(one.before for one in found[2:])) if share is not None), default=None)


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 4),
    )


def sick() -> nn.Module:
    from torch import nn

    model = healthy()
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.0, 0.1)
    return model
