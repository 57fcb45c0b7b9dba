"""Copies that are no copies: parameters, buffers or gradients that differ from rank to rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.ranks import Disagreement, RanksTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import counted, listed

if TYPE_CHECKING:
    from torch import nn

ROUNDING = 1e-4
_BECAUSE = {
    "parameter": "each rank trains a model of its own: drawn from another seed, or loaded or changed on some ranks only after "
    "the wrapper had made them equal",
    "trained parameter": "each rank takes steps of its own: gradients that nothing brings together, or another optimizer",
    "buffer": "forward only reads it: it was drawn, loaded or changed on some ranks only",
    "gradient": "each rank keeps the gradient of its own batch: nothing adds them up before the optimizer's step",
}
_HELP = {
    "parameter": "seed all ranks alike before the model is built, load the same checkpoint on all, wrap last",
    "trained parameter": "call the wrapper, not what is inside; leave no_sync() before the last backward of a step; give every "
    "rank the same optimizer",
    "buffer": "fill it from the same seed on all ranks, or leave broadcast_buffers=True",
    "gradient": "use the wrapper's forward, not module.forward(); leave no_sync() before the last backward of a step; "
    "let the communication hook return what it has reduced",
}


def ranks_disagree(trace: Trace) -> Iterator[Finding | Need]:
    """Tensors that every rank holds as a copy are not the same on all ranks.

    What it does: compares parameters and buffers between the ranks, and after a backward pass in which each rank has a batch
    of its own the gradients that DistributedDataParallel or fully_shard should have averaged; in `check_step` the parameters
    after the steps.

    Why it is bad: every rank takes steps of its own, so that the copies drift apart, the checkpoint of rank 0 is the model
    of a part of the data, and nothing reports it: the loss of each rank goes down.

    How it is measured: of each tensor the norm and a fixed projection of its entries, one collective operation for all of
    them. A relative difference above 1e-4 is no rounding. Sharded tensors are compared with the copies of the same shard.
    Buffers that forward writes to (running statistics) are local by design: a note.

    When it is legitimate: parameters that are local on purpose (experts, adapters for a rank's own data).

    How to fix: build and load alike on all ranks, wrap last, call the wrapper, leave no_sync() for the last backward.

    How to silence: ignore={"ranks-disagree:experts.*": "each rank has its own"}.
    """
    if trace.ranks < 2:
        return
    if "ranks" not in trace.facts:
        yield Need("ranks")
        return
    for seen in trace.facts["ranks"]:
        if seen.parallel is not None:
            yield from _off(seen.parallel)
            for what in _BECAUSE:
                found = [one for one in seen.parallel.disagreements if one.what == what]
                constant = [one for one in found if not (what == "buffer" and one.kept_by_forward)]
                if constant:
                    yield _finding(what, constant, seen.parallel, Severity.ERROR)
                elif found:
                    yield _finding(what, found, seen.parallel, Severity.NOTE)


def _off(ranks: RanksTrace) -> Iterator[Finding]:
    if ranks.unsynchronised:
        switch = "no_sync()" if ranks.scheme == "DistributedDataParallel" else "set_requires_gradient_sync(False)"
        yield Finding(
            rule="ranks-disagree",
            severity=Severity.ERROR,
            message=f"the gradients of {ranks.size} ranks are not brought together: {switch} is on",
            places=(Place("", ranks.scheme),),
            details=(
                ("because", f"{switch} was switched on and not off again"),
                ("help", "switch it on around all but the last backward of a step alone"),
            ),
        )


def _finding(what: str, found: list[Disagreement], ranks: RanksTrace, severity: Severity) -> Finding:
    worst = max(one.difference for one in found)
    because, help_ = _BECAUSE[what], _HELP[what]
    if severity is Severity.NOTE:
        because = "forward writes to it, from each rank's own batch: rank 0 evaluates with its own, and saves its own"
        help_ = "nothing to do, or SyncBatchNorm"
    return Finding(
        rule="ranks-disagree",
        severity=severity,
        message=f"{counted(len(found), what)} not the same on {ranks.size} ranks: {worst:.2g} of the norm apart ({ROUNDING:g} "
        "allowed as rounding)",
        places=tuple(Place(one.name) for one in found),
        details=(
            _who(found),
            ("because", because),
            ("help", help_),
        ),
        got=worst,
        bound=ROUNDING,
    )


def _who(found: list[Disagreement]) -> tuple[str, str]:
    """The odd ones out, where most of the ranks agree; otherwise who agrees with whom."""
    odd = {rank for one in found for group in one.groups if len(group) < len(one.groups[0]) for rank in group}
    if odd:
        return ("odd", _named(sorted(odd)))
    return ("apart", " | ".join(_named(group) for group in max(found, key=lambda one: one.difference).groups))


def _named(ranks: Sequence[int]) -> str:
    return f"rank {listed([str(rank) for rank in ranks])}"


RANKS = 2
"""The examples run on so many."""


def healthy() -> nn.Module:
    import torch
    from torch import nn

    torch.manual_seed(0)  # the same on every rank
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


def sick() -> nn.Module:
    import os

    import torch
    from torch import nn

    torch.manual_seed(int(os.environ.get("RANK", "0")))  # another on each
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
