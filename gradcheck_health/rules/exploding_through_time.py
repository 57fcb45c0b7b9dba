"""A recurrence multiplies its gradient from step to step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import recurrence

if TYPE_CHECKING:
    from torch import nn

LIMIT, EXPONENTIAL = 1e6, 1e4
_HELP = "an orthogonal recurrent matrix or smaller weights, a gated cell, layer norm on the state; clip the gradient norm"


def exploding_through_time(
    trace: Trace, *, max_ratio: float | None = None, horizon: int | None = None
) -> Iterator[Finding | Need]:
    """The gradient of the first step of a recurrence is far larger than that of the last: it explodes through time.

    What it does: puts the loss on the last step alone and compares the gradients of the inputs of all steps, for every
    RNN, LSTM and GRU and for a recurrence written as a loop.

    Why it is bad: one long sequence throws the weights away, the loss jumps or becomes NaN, and the more steps the
    worse.

    How it is measured: |dL/dx_0| / |dL/dx_T| above 1e6, or above 1e4 where the growth is exponential (as fast in the
    earlier as in the later half), over the steps that were fed and at least 20 where they may be repeated. max_ratio is
    another bound, horizon other steps: beyond those that were fed, the exponential is extrapolated.

    When it is legitimate: chaotic dynamics that are always trained with clipping, or on short windows.

    How to fix: orthogonal or smaller recurrent weights, an LSTM or GRU, a norm on the state, gradient clipping,
    truncated backpropagation.

    How to silence: ignore={"exploding-through-time": "the reason"}, or max_ratio= for the bound that you want.
    """
    yield from recurrence.needs(trace)
    for profile in recurrence.profiles(trace):
        exponential = recurrence.exponential(profile)
        have = len(profile.norms) - 1
        steps = have if horizon is None or (horizon > have and not exponential) else horizon
        grown = recurrence.ratio(profile, steps)
        limit = max_ratio if max_ratio is not None else EXPONENTIAL if exponential else LIMIT
        if grown <= limit:
            continue
        if "detailed" not in trace.facts:
            yield Need("detailed")
            return
        factor = recurrence.gain(profile, steps)
        again = f"; the input of {profile.stretched} steps was repeated" if profile.stretched else ""
        carried = "" if steps <= have else f", carried on to {steps}"
        yield Finding(
            rule="exploding-through-time",
            severity=Severity.ERROR,
            message=f"the gradient grows {grown:.2g} x over {steps} steps back in time (at most {limit:.2g} allowed)",
            places=recurrence.recurrent_places(trace, profile),
            details=(
                ("because", f"each step back multiplies the norm by {factor:.2g}{', an exponential' if exponential else ''}"),
                ("measured", f"the loss on the last of {have + 1} steps{carried}{again}"),
                ("help", _HELP),
            ),
            got=grown,
            bound=limit,
        )


def healthy() -> nn.Module:
    from torch import nn

    return nn.GRU(12, 24, batch_first=True)


def sick() -> nn.Module:
    import torch
    from torch import nn

    model = nn.RNN(12, 24, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        model.get_parameter("weight_hh_l0").normal_(0, 1)
    return model
