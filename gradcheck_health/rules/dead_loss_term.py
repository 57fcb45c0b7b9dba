"""Summands of the loss that train nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn

_HELP = {
    "detached": "compute the term before detach(), or leave it out of the loss",
    "no_grad": "compute it outside of no_grad(), or leave it out of the loss",
    "item": "add the tensor, not its number: item() and float() end the gradient",
}


def dead_loss_term(trace: Trace) -> Iterator[Finding | Need]:
    """A summand of the loss depends on the model in value and has no gradient.

    What it does: finds scalars that are added to the loss, have no gradient, and move when the weights are moved: what went
    through argmax, round, a comparison, item(), no_grad(), or was computed from what forward detaches.

    Why it is bad: the number in the log falls or rises, and nothing is trained by it: a regulariser that does not regularise.

    How it is measured: from the autograd graph, where something without a gradient is added to the loss; then the loss is
    evaluated with the weights as they are and with noise of half their size on each.

    When it is legitimate: a detach() at the summand itself (a surrogate whose value is shown as the true one) is its author's
    intention, and not reported; neither is a constant, nor a frozen teacher's term.

    How to fix: a smooth form of the term (softmax for argmax, the margin for the comparison), or leave it out.

    How to silence: ignore={"dead-loss-term": "the reason"}.
    """
    if not trace.constant_terms:
        return
    if "loss_terms" not in trace.facts:
        yield Need("loss_terms")
        return
    terms = next((one.terms for one in trace.facts["loss_terms"]), ())
    if not terms:
        return
    worst = max(terms, key=lambda term: term.share)
    places = tuple(dict.fromkeys(Place("", "", term.source, f"after {term.op}") for term in terms))
    count = "a term" if len(terms) == 1 else f"{len(terms)} terms"
    yield Finding(
        rule="dead-loss-term",
        severity=Severity.WARNING,
        message=f"{count} of the loss moves with the weights and has no gradient "
        f"({worst.value:.3g}, {worst.share:.0%} of the loss)",
        places=places,
        details=(
            ("because", f"no gradient can flow through {worst.op}"),
            ("confirmed", "its value moves when noise is added to the weights"),
            ("help", _HELP.get(worst.op, "use a smooth form of it, or leave it out of the loss")),
        ),
        got=float(len(terms)),
        bound=0.0,
    )


def healthy() -> nn.Module:
    import torch
    from torch import nn

    class Surrogate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            error = self.body(x).square().mean()
            shown = self.body(x).abs().max()
            total: torch.Tensor = error + (shown - error).detach()
            return total

    return Surrogate()


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = self.body(x)
            target = torch.arange(len(x)) % 4
            wrong = (logits.argmax(-1) != target).float().mean()
            loss = nn.functional.cross_entropy(logits, target)
            total: torch.Tensor = loss + wrong
            return total

    return Counting()
