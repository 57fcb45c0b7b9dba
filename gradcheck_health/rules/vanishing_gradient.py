"""The gradient dies on its way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from gradcheck_health.records.finding import Finding, Need, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow, flow_wording
from gradcheck_health.rules.analysis.no_gradient import may_underflow

if TYPE_CHECKING:
    from torch import nn

LIMITS = {"sgd": flow.SGD_LEARNS_ABOVE, "adam": 10**-8.5}
SLOW = 1e-3


def vanishing_gradient(
    trace: Trace, *, min_ratio: float | None = None, optimizer: Literal["sgd", "adam"] | None = None
) -> Iterator[Finding | Need]:
    """The gradient shrinks on its way from the output to the first layer until the first layers cannot learn.

    What it does: compares the norm of the gradient that arrives at the first layer with the norm at the output.

    Why it is bad: the first layers hardly move. Plain networks with a ratio of 1e-3 still train with SGD and
    momentum, with 4e-4 they no longer do. Adam rescales each parameter and copes down to about 1e-8.

    How it is measured: the ratio |dL/dh_first| / |dL/dh_last| over the tensors that every gradient path crosses, L a
    random projection of the output (or the given loss). Activation gradients, because weight gradients look flat
    while the signal dies both ways. An error needs the ratio below min_ratio at the given weights, at slightly
    perturbed ones and after three optimizer steps, by a one-sided 99 % bound over seeds, and in float64; what shrinks
    ten thousandfold there was rounding, and is left to zero-gradient. Default 8e-5 for optimizer="sgd", 3e-9 for "adam" (an
    option here, or the setting of that name); sound networks that were never used to set it stay above 4e-4, sick ones
    below 2e-5. Between the limit and 1e-3 a note says that plain SGD will be slow.

    When it is legitimate: zero-initialised branches and heads wake up after a step and are not reported.

    How to fix: ReLU-like activations for sigmoid and tanh, He or Glorot initialisation, normalisation, skip
    connections, an LSTM or GRU for a plain recurrence.

    How to silence: ignore={"vanishing-gradient": "the reason"}, or min_ratio= for the bound that you want.
    """
    optimizer = optimizer or ("adam" if trace.declared.optimizer == "adam" else "sgd")
    limit = flow_limit(trace, min_ratio=min_ratio, optimizer=optimizer)
    concern = limit if min_ratio is not None or optimizer == "adam" else SLOW
    given = flow.ratio(trace)
    if given is None or max([given, *flow.opened_ratios(trace)]) >= concern:
        return
    # an exact zero is a zero initialisation, more often than not, and a small number may be a small factor: moving those alone
    # is the cheapest that says so
    cheap = ("woken",) if given == 0.0 else ("opened",) if flow.shrinks(trace) else ()
    for fact in (*cheap, "kicked", "after_steps"):
        if fact not in trace.facts:
            yield Need(fact)
            return
        largest = _largest(trace)
        if largest >= concern:
            return
    # a true zero is the affair of zero-gradient and dead-unit; here it counts where float32 holds no smaller number
    for fact in ("detailed", "float64") if largest == 0.0 else ():
        if fact not in trace.facts:
            yield Need(fact)
            return
        if fact == "detailed" and not may_underflow(trace):
            return
    if largest == 0.0 and not any(flow.ratio(one) for one in trace.facts["float64"]):
        return
    if largest < limit:
        if flow.undecided(trace, limit):
            yield Need("reseeded", more=True)
            return
        missing = [fact for fact in ("detailed", "float64") if fact not in trace.facts]
        if missing:
            yield from map(Need, missing)
            return
        if flow.is_rounding(trace):
            return
        if _confirmed(trace, limit):
            yield _finding(trace, Severity.ERROR, given, limit, optimizer)
            return
    yield _finding(trace, Severity.NOTE, given, concern, optimizer)


def flow_limit(trace: Trace, *, min_ratio: float | None = None, optimizer: Literal["sgd", "adam"] | None = None) -> float:
    """The smallest ratio that passes, for pictures."""
    declared: Literal["sgd", "adam"] = "adam" if trace.declared.optimizer == "adam" else "sgd"
    return min_ratio if min_ratio is not None else LIMITS[optimizer or declared]


def _largest(trace: Trace) -> float:
    """Of the ratios under all conditions that were tried."""
    woken = [value for one in trace.facts.get("woken", ()) if (value := flow.ratio(one)) is not None]
    return max(*woken, *flow.opened_ratios(trace), *flow.fact_ratios(trace), 0.0)


def _confirmed(trace: Trace, limit: float) -> bool:
    wide = [value for one in trace.facts.get("float64", ()) if (value := flow.ratio(one)) is not None]
    if any(value >= limit for value in wide):
        return False
    return flow.confirmed(trace, limit)


def _finding(trace: Trace, severity: Severity, got: float, limit: float, optimizer: str) -> Finding:
    got = got or _largest(trace)  # exactly zero at the given weights is a zero initialisation
    seen = trace.closest
    points = seen.flow
    allowed = f"at least {limit:.2g} allowed for {optimizer.upper()}"
    speed = ": slow for plain SGD" if limit == SLOW else ""
    first, last = flow_wording.end_name(seen, points[-1]), flow_wording.end_name(seen, points[0])
    return Finding(
        rule="vanishing-gradient",
        severity=severity,
        message=f"the gradient shrinks to {got:.2g} of its norm from {first} to {last} ({allowed}){speed}",
        places=flow_wording.flow_places(seen, points),
        details=(*flow_wording.flow_details(trace, seen, points, limit), *_adam(optimizer, got, limit)),
        got=got,
        bound=limit,
        effect_of=("saturated-activation",) if flow_wording.squashed(points) else (),
        cause=flow_wording.cause(seen, points),
    )


def _adam(optimizer: str, got: float, limit: float) -> tuple[tuple[str, str], ...]:
    """What the verdict would be under the optimizer that most nets are trained with."""
    if optimizer != "sgd" or limit != LIMITS["sgd"] or got < LIMITS["adam"]:
        return ()
    return (("adam", f"Adam rescales each weight and copes down to {LIMITS['adam']:.2g}: optimizer='adam' if it trains this"),)


def healthy() -> nn.Module:
    from torch import nn

    blocks: list[nn.Module] = []
    for _ in range(12):
        blocks += [nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU()]
    return nn.Sequential(*blocks, nn.Linear(32, 4))


def sick() -> nn.Module:
    from torch import nn

    blocks: list[nn.Module] = []
    for _ in range(12):
        blocks += [nn.Linear(32, 32), nn.Sigmoid()]
    return nn.Sequential(*blocks, nn.Linear(32, 4))
