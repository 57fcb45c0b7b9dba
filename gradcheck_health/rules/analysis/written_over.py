"""Findings of cut-gradient on values that forward writes behind autograd."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.writes import Overwritten, Rewritten

_UNDONE = 0.5
"""Of the entries that a step moved: a clamp undoes those at its bounds, a renormalisation none."""
_COMPUTE = (
    "compute with the changed values instead of writing them: w = quantise(self.weight), and for a gradient that passes "
    "straight through w = self.weight + (quantise(self.weight) - self.weight).detach()"
)
_CLONE = "write into a clone, h.detach().clone(), or use an operation that autograd knows: torch.where, clamp, masked_fill"


def written_over(trace: Trace) -> Iterator[Finding | Need]:
    """Parameters whose steps forward undoes, and values of the graph that it changes unseen."""
    if trace.rewritten:
        if "after_steps" not in trace.facts:
            yield Need("after_steps")
            return
        steps = [one for seen in trace.facts["after_steps"][1:4] for one in seen.rewritten]
        worst = {one.parameter: max(x.undone for x in steps if x.parameter == one.parameter) for one in steps}
        undone = [one for one in trace.rewritten if worst.get(one.parameter, 0.0) > _UNDONE]
        if undone:
            yield _undone(trace, undone, max(worst.values()))
    if trace.overwritten:
        yield _overwritten(trace, trace.overwritten)


def _undone(trace: Trace, members: list[Rewritten], share: float) -> Finding:
    first = members[0]
    trainable = sum(p.trainable for p in trace.parameters.values())
    places = tuple(Place(one.parameter, trace.parameters[one.parameter].kind, one.source, one.op) for one in members)
    return Finding(
        rule="cut-gradient",
        severity=Severity.ERROR,
        message=(
            f"forward writes over {len(members)} of {trainable} trainable parameters ({first.op}) and undoes {share:.0%} of "
            f"a step (at most {_UNDONE:.0%} allowed)"
        ),
        places=places,
        details=(
            ("starts", _place(trace, first.layer, first.source, first.op)),
            ("because", "a step smaller than the grid of what is written is lost: the next forward puts the old value back"),
            ("help", _COMPUTE),
        ),
        got=share,
        bound=_UNDONE,
    )


def _overwritten(trace: Trace, members: tuple[Overwritten, ...]) -> Finding:
    first = members[0]
    kind = trace.layers[first.layer].kind if first.layer in trace.layers else ""
    return Finding(
        rule="cut-gradient",
        severity=Severity.WARNING,
        message=f"{first.op} changes {first.share:.0%} of a result behind autograd (0 allowed)",
        places=tuple({Place(one.layer, kind, one.source, one.op): None for one in members}),
        details=(
            ("starts", _place(trace, first.layer, first.source, first.op)),
            (
                "because",
                "the gradient is that of the values before: a change through .data, detach() or no_grad is unseen",
            ),
            ("help", _CLONE),
        ),
        got=first.share,
        bound=0.0,
    )


def _place(trace: Trace, layer: str, source: str | None, op: str) -> str:
    return str(Place(layer, trace.layers[layer].kind if layer in trace.layers else "", source, op))
