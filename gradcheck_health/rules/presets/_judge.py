"""What the rules of presets share: asking for the distributions, and one finding for all the tensors that cross a limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradcheck_health.records.evidence import Distribution
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace


def distributions_of(trace: Trace, of: str) -> tuple[Distribution, ...] | None:
    """The distributions of gradients, weights or outputs; None while nobody has measured them."""
    if "distributions" not in trace.facts:
        return None
    return tuple(entry for fact in trace.facts["distributions"] for entry in fact.distributions if entry.of == of)


def crossing(
    trace: Trace, rule: str, of: str, bad: Iterable[tuple[Distribution, float]] | None, bound: float, what: str
) -> Iterator[Finding | Need]:
    """One finding that names every tensor in `bad`, worst (farthest from the bound) first; a need while nothing is measured."""
    if bad is None:
        yield Need("distributions")
        return
    worst = sorted(bad, key=lambda pair: abs(pair[1] - bound), reverse=True)
    if worst:
        yield Finding(
            rule,
            Severity.ERROR,
            f"{what} of {len(worst)} {of}{'s' if len(worst) > 1 else ''} beyond the limit: {worst[0][1]:.2g}, limit {bound:g}",
            tuple(Place(entry.name, entry.kind) for entry, _ in worst),
            (("judged", "by an absolute number that another tool published; it changes with the scale of loss and batch"),),
            got=worst[0][1],
            bound=bound,
        )
