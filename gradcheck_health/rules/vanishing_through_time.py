"""A recurrence forgets at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.evidence import TimeProfile
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import recurrence

if TYPE_CHECKING:
    from torch import nn

LIMIT, FAR_LIMIT, SLOW = 1e-12, 1e-8, 1e-8
"""Over 20 steps: a quarter a step, the most that a sigmoid passes on. Over a horizon that the user named; and for a note."""
NARROW = 8
"""A recurrence of fewer units is off by chance too often."""
_HELP = {
    "LSTM": "set the forget gate's bias to +1 or more (bias_ih[hidden:2*hidden]), and do not shift it below 0",
    "GRU": "raise the bias of the update gate, so that the state is kept",
}
_OTHER = "use an LSTM or GRU, an orthogonal or identity recurrent matrix, tanh or ReLU for a sigmoid, or h + f(h)"


def vanishing_through_time(
    trace: Trace, *, min_ratio: float | None = None, horizon: int | None = None
) -> Iterator[Finding | Need]:
    """A gradient from the last step of a recurrence dies within a few steps: what came before cannot be learnt.

    What it does: puts the loss on the last step alone and compares the gradients of the inputs of the steps before it, for
    every RNN, LSTM and GRU and for a recurrence written as a loop.

    Why it is bad: whatever the last step depends on must lie within the memory. The loss still falls, on what the
    last few inputs tell.

    How it is measured: |dL/dx_(T-20)| / |dL/dx_T| below min_ratio. Default 1e-12, that is less than a quarter a step: torch's
    own layers keep 0.58 (RNN), 0.4 (ReLU RNN) and 0.6 (LSTM, GRU) of the norm a step as they are initialised, 1e-10
    over 20 steps at worst. With horizon=, the steps that the model has to look back, the bound is 1e-8 there. Between the
    default bound and 1e-8, with fewer than 8 units, and where the gradient is exactly zero from some step on (a detached
    state), it is a note; one that is detached at every step is named with its line. The
    report says how long the memory is: the steps after which 1/e is left.

    When it is legitimate: the last inputs are all that matters, or the recurrence is trained step by step.

    How to fix: LSTM or GRU with a forget bias of +1, orthogonal or identity recurrent weights, no sigmoid on the
    state, skip connections through time.

    How to silence: ignore={"vanishing-through-time": "the reason"}, or min_ratio= for the bound that you want.
    """
    yield from recurrence.needs(trace)
    if "time_profile" not in trace.facts:
        return
    limit = min_ratio if min_ratio is not None else LIMIT if horizon is None else FAR_LIMIT
    steps = horizon or recurrence.HORIZON
    bound = min_ratio is not None or horizon is not None
    yield from _detached(trace)
    for profile in recurrence.profiles(trace):
        kept = recurrence.ratio(profile, steps)
        concern = limit if bound else SLOW
        if kept < limit and "detailed" not in trace.facts:
            yield Need("detailed")
        elif kept < concern:
            yield _finding(trace, profile, kept, limit if kept < limit else concern, steps, bound)


def _detached(trace: Trace) -> Iterator[Finding]:
    """A state that is detached at every step: often on purpose, and then nothing that lies back is learnt."""
    for profile in (one for seen in trace.facts["time_profile"] for one in seen.times):
        if profile.detached is not None:
            yield Finding(
                rule="vanishing-through-time",
                severity=Severity.NOTE,
                message="the state is detached at every step: no gradient reaches the step before",
                places=(Place(profile.layer, profile.kind, profile.detached or None, "detach"),),
                details=(
                    ("because", "the last output moves with an earlier step, and no gradient comes back to it"),
                    ("help", "to learn what lies back, detach between batches, or every few steps, instead"),
                ),
            )


def _finding(trace: Trace, profile: TimeProfile, kept: float, limit: float, steps: int, bound: bool) -> Finding:
    factor = recurrence.gain(profile, steps)
    doubts = []
    if limit == SLOW and not bound:
        doubts.append("short, and not yet sick")
    if 0 < profile.width < NARROW and not bound:
        doubts.append(f"only {profile.width} units")
    if min(profile.norms) == 0.0 and not _fades(profile):
        doubts.append("exactly zero from some step on: a state that is detached, or dead units")
    if len(profile.norms) <= steps // 2:
        doubts.append(f"only {len(profile.norms)} steps were fed")
    measured = "" if len(profile.norms) > steps else f", carried on from {len(profile.norms) - 1} steps"
    again = f"; the input of {profile.stretched} steps was repeated" if profile.stretched else ""
    details = [
        ("because", f"each step back keeps {factor:.2g} of the norm: the memory is {recurrence.memory(factor)} long"),
        ("measured", f"the loss on the last of {len(profile.norms)} steps{measured}{again}"),
        ("help", _HELP.get(profile.kind, _OTHER)),
    ]
    return Finding(
        rule="vanishing-through-time",
        severity=Severity.NOTE if doubts else Severity.ERROR,
        message=f"{steps} steps back in time {kept:.2g} of the gradient is left (at least {limit:.2g} allowed)",
        places=recurrence.recurrent_places(trace, profile),
        details=(*details, ("doubt", "; ".join(doubts))) if doubts else tuple(details),
        got=kept,
        bound=limit,
    )


def _fades(profile: TimeProfile) -> bool:
    """It reaches zero by getting smaller and smaller, down to where float32 ends."""
    smallest = min(norm for norm in profile.norms if norm > 0.0)
    return smallest < 1e-25 * max(profile.norms)


def healthy() -> nn.Module:
    from torch import nn

    return nn.LSTM(12, 24, batch_first=True)


def sick() -> nn.Module:
    import torch
    from torch import nn

    model = nn.RNN(12, 24, batch_first=True)
    with torch.no_grad():
        model.get_parameter("weight_hh_l0").normal_(0, 0.01)
    return model
