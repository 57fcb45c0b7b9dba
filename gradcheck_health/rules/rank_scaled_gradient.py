"""Gradients of the ranks that are added and not averaged, or divided twice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.ranks import RanksTrace
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn

TOLERANCE = 0.02
"""Relative, of a factor; half precision on the way takes part of it."""
_AGREE = 0.8
"""Of the parameters have one factor: a hook that compresses gradients gives each another."""


def rank_scaled_gradient(trace: Trace) -> Iterator[Finding | Need]:
    """After backward the gradient is another multiple of the mean of the ranks' own than 1.

    What it does: lets each rank take a batch of its own, and compares the gradient that backward leaves on all of them with
    the mean of those that the ranks had.

    Why it is bad: with a division missing the steps are as many times too long as there are ranks, and grow with the
    cluster; with one too many they are that much too short. Adam hides it, and its epsilon, weight decay and clipping do
    not.

    How it is measured: the projections of both on a fixed direction, for the parameters with the largest gradients. The
    median factor counts where four fifths of them have it within 2 %. A factor of the number of ranks is a warning, any
    other an error.

    When it is legitimate: adding on purpose, where the loss is divided by the number of all samples or tokens.

    How to fix: divide once: DistributedDataParallel and fully_shard do it themselves; a communication hook, a
    gradient_divide_factor or a loss that divides by the world size does it again.

    How to silence: ignore={"rank-scaled-gradient": "the loss is divided by the tokens of all ranks"}.
    """
    if trace.ranks < 2:
        return
    if "ranks" not in trace.facts:
        yield Need("ranks")
        return
    for seen in trace.facts["ranks"]:
        if seen.parallel is not None and (factor := _factor(seen.parallel)) is not None:
            yield _finding(seen.parallel, factor)


def _factor(ranks: RanksTrace) -> float | None:
    """The one that is not 1; None where there is none, or not one."""
    factors = [one.factor for one in ranks.reductions if math.isfinite(one.factor)]
    if not factors:
        return None
    middle = median(factors)
    agreeing = sum(abs(one - middle) <= TOLERANCE * abs(middle) for one in factors)
    return None if abs(middle - 1) <= TOLERANCE or agreeing < _AGREE * len(factors) else middle


def _finding(ranks: RanksTrace, factor: float) -> Finding:
    size = ranks.size
    added = abs(factor - size) <= TOLERANCE * size
    twice = abs(factor * size - 1) <= TOLERANCE
    because = (
        "the gradients of the ranks are added, and nothing divides the sum"
        if added
        else f"the sum is divided by {size} twice: by the wrapper, and by a hook, a divide factor or the loss"
        if twice
        else "something on the way multiplies: a communication hook, a divide factor, or a group of other ranks"
    )
    return Finding(
        rule="rank-scaled-gradient",
        severity=Severity.WARNING if added else Severity.ERROR,
        message=f"backward leaves {factor:.3g} x the mean of the gradients of {size} ranks (1 expected)",
        places=(Place("", ranks.scheme),),
        details=(("because", because), ("help", "divide once by the number of ranks, in one place")),
        got=factor,
        bound=1.0,
    )


RANKS = 2
"""The examples run on so many."""


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


def sick() -> nn.Module:
    from typing import Any

    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    def add(bucket: Any) -> Any:
        work = dist.all_reduce(bucket.buffer(), async_op=True)
        # and divides by nothing
        return work.get_future().then(lambda done: done.value()[0])

    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    if dist.is_initialized():
        spread = DistributedDataParallel(model)
        spread.register_comm_hook(None, lambda _, bucket: add(bucket))
    return spread if dist.is_initialized() else model
