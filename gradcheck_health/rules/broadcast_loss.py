"""Predictions and targets that are paired all with all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.losses import LossPairing
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def broadcast_loss(trace: Trace) -> Iterator[Finding | Need]:
    """The loss pairs predictions and targets by broadcasting: (B, 1) against (B,) becomes (B, B).

    What it does: finds an operation or a loss that joins a tensor which depends on the parameters with one which does not,
    of the same numbers but another rank, so that the result is larger than both; and asks whether the loss knows which target
    belongs to which sample.

    Why it is bad: every prediction is pulled to every target, so that the model learns their mean. The loss falls, to the
    variance of the targets, and nothing raises.

    How it is measured: the shapes in one pass; then the loss is evaluated with the targets in another order and with other
    targets. An error where the first changes nothing and the second something. Where the order matters it is a note.

    When it is legitimate: pairwise losses, quantiles and sets insert an axis on purpose (a[:, None] - b), which is not
    reported.

    How to fix: bring both to one shape before the loss: pred.squeeze(-1), or target.unsqueeze(-1).

    How to silence: ignore={"broadcast-loss": "the reason"}.
    """
    if not trace.pairings:
        return
    if "pairing" not in trace.facts:
        yield Need("pairing")
        return
    seen = next((one.pairings for one in trace.facts["pairing"]), ())
    blind = [one for one in seen if one.blind]
    if blind:
        yield _finding(trace, blind[0], Severity.ERROR)
    elif seen:
        yield _finding(trace, seen[0], Severity.NOTE)


def _finding(trace: Trace, pair: LossPairing, severity: Severity) -> Finding:
    first, second, result = (_shape(one) for one in (pair.first, pair.second, pair.result))
    layer = trace.layers.get(pair.layer)
    sure = severity is Severity.ERROR
    confirmed = (
        "the loss is the same with the targets in another order" if sure else "the loss does depend on the order of the targets"
    )
    low = "the targets" if len(pair.first) > len(pair.second) else "the predictions"
    return Finding(
        rule="broadcast-loss",
        severity=severity,
        message=f"{pair.function} broadcasts {first} against {second} to {result}: each prediction meets every target",
        places=(Place(pair.layer, layer.kind if layer else "", pair.source, pair.function),),
        details=(
            ("because", f"one of them has an axis of size 1 that the other has not ({low} lack it)"),
            ("confirmed", confirmed),
            ("help", "give both the same shape before the loss: pred.squeeze(-1), or target.unsqueeze(-1)"),
        ),
    )


def _shape(sizes: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    def pairwise(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        score = out.squeeze(-1)
        order = torch.sign(target.unsqueeze(1) - target)
        margin = order * (score.unsqueeze(1) - score)
        return nn.functional.softplus(-margin).mean()

    x, y = torch.randn(16, 8), torch.randn(16)
    return Training(nn.Linear(8, 1), x, loss=pairwise, targets=y)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    def squared(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (out - target).square().mean()

    x, y = torch.randn(16, 8), torch.randn(16)
    return Training(nn.Linear(8, 1), x, loss=squared, targets=y)
