"""Draws that layers take and that hand no gradient back: what they come from learns from the rest of the loss alone."""

from __future__ import annotations

from collections.abc import Container, Iterator

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

SCORE = "a score-function loss: log_prob(draw) * reward"
DRAWN_HELP = {
    "normal": f"draw the noise by itself: mu + sigma * torch.randn_like(mu), or Normal(mu, sigma).rsample(); or {SCORE}",
    "sample": "use rsample() instead of sample() where there is one: it keeps the gradient; otherwise a score-function loss",
}


def lost_draws(trace: Trace, told: Container[str | None] = ()) -> Iterator[Finding | Need]:
    """Those through which a gradient would come if they were reparametrised.

    Args:
        told: lines of draws of which it was said already that something behind them gets no gradient at all.
    """
    if "reparametrised" not in trace.facts:
        if any(draw.source not in told for draw in trace.draws):
            yield Need("reparametrised")
        return
    for draw in (one for seen in trace.facts["reparametrised"] for one in seen.draws if one.source not in told):
        layer = trace.layers.get(draw.layer)
        yield Finding(
            rule="cut-gradient",
            severity=Severity.ERROR,
            message=f"{draw.op} hands no gradient back from the layers that take its draws (0 allowed)",
            places=(Place(draw.layer, layer.kind if layer else "", draw.source, draw.op),),
            details=(
                (
                    "because",
                    "what it draws from learns from other terms alone; nothing asks for log_prob, as a score function would",
                ),
                ("help", DRAWN_HELP[draw.op.rpartition(".")[2]]),
            ),
            got=1.0,
            bound=0.0,
        )
