"""Probabilities where logits are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.evidence import DoubleSoftmax
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn

_LOSSES = {
    "log_softmax": "log_softmax (cross_entropy)",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
    "logsumexp": "logsumexp (Categorical(logits=...))",
}
_HELP = {
    "softmax": "return the logits and take softmax only to predict; or use nll_loss on log_softmax",
    "sigmoid": "return the logits and take sigmoid only to predict; or use binary_cross_entropy",
    "log_softmax": "nothing to do for the gradient; nll_loss, or cross_entropy on logits, spares one of the two",
}


def double_softmax(trace: Trace) -> Iterator[Finding | Need]:
    """The result of a softmax or sigmoid is taken for logits: a second softmax or sigmoid is applied to it.

    What it does: finds softmax or sigmoid outputs that reach another softmax, log_softmax (inside cross_entropy),
    sigmoid or binary_cross_entropy_with_logits with no weights and no scale between, in the loss or in the model's
    own head.

    Why it is bad: probabilities differ by at most 1, so the second softmax stays nearly uniform: with 10 classes the
    best possible loss is 1.46 instead of 0, gradients shrink by the slope of both, and a wrong class that is certain
    is hardly corrected.

    How it is measured: the order of operations in the autograd graph, from the loss down to the last layer that mixes
    features; both must normalise over the same classes. Reshapes, clamps, slices, means over an ensemble and added
    constants may lie between. Without a loss only the model's own forward is judged. log_softmax twice is the
    identity, and a note.

    When it is legitimate: attention, gates and routing are not in the head, and not examined: below a layer that mixes
    features, or where the result only weighs other values. A temperature or a scale between makes logits of
    probabilities.

    How to fix: return the logits; apply softmax to them only where probabilities are read.

    How to silence: ignore={"double-softmax": "the reason"}.
    """
    if not trace.double_softmaxes:
        return
    if "detailed" not in trace.facts:
        yield Need("detailed")
        return
    seen = trace.closest.double_softmaxes or trace.double_softmaxes
    for harmless in (False, True):
        members = [pair for pair in seen if (pair.first == "log_softmax") is harmless]
        if harmless:
            members = [pair for pair in members if pair.second == "log_softmax"]
        if members:
            yield _finding(trace, members, harmless)


def _finding(trace: Trace, members: list[DoubleSoftmax], harmless: bool) -> Finding:
    pair = members[0]
    second = _LOSSES.get(pair.second, pair.second)
    places = []
    for one in members:
        layer = trace.layers.get(one.layer)
        places.append(Place(one.layer, layer.kind if layer else "", one.source, one.first))
    where = f" at {pair.outer_source}" if pair.outer_source else f" in {pair.outer}" if pair.outer else ""
    verdict = "which changes nothing" if harmless else "0 allowed"
    return Finding(
        rule="double-softmax",
        severity=Severity.NOTE if harmless else Severity.ERROR,
        message=f"{second} takes the result of {pair.first} for logits ({len(members)} found, {verdict})",
        places=tuple(dict.fromkeys(places)),
        details=(("because", f"{second} is applied{where} to values that are normalised already"), ("help", _HELP[pair.first])),
        got=float(len(members)),
        bound=0.0,
        cause=pair.first,
    )


def healthy() -> nn.Module:
    import torch
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            labels = torch.arange(len(x)) % 4
            return nn.functional.cross_entropy(self.body(x), labels)

    return Classifier()


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 4)
            self.head = nn.Softmax(dim=-1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            probabilities = self.head(self.body(x))
            labels = torch.arange(len(x)) % 4
            return nn.functional.cross_entropy(probabilities, labels)

    return Twice()
