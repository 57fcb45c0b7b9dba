"""Parameters that get a gradient on some of the ranks only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.ranks import RanksTrace, Reach
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import counted, listed

if TYPE_CHECKING:
    from torch import nn


def uneven_gradient(trace: Trace) -> Iterator[Finding | Need]:
    """A parameter gets a gradient on some ranks and none on others.

    What it does: lets each rank take a batch of its own and compares which parameters a gradient arrives at, and which
    shards hold one after backward.

    Why it is bad: DistributedDataParallel waits on every rank for the gradient of every parameter: training hangs, or stops
    with "Expected to have finished reduction in the prior iteration". A shard without a gradient is not trained.

    How it is measured: one backward pass on each rank's batch, of the module inside the wrapper, so that nothing waits. An
    error, unless the wrapper looks for unused parameters itself (find_unused_parameters=True, static_graph=True).

    When it is legitimate: branches that the data chooses, with find_unused_parameters=True.

    How to fix: let every parameter take part on every rank (add 0 * branch(x).sum()), or set find_unused_parameters=True.

    How to silence: ignore={"uneven-gradient:experts.*": "the reason"}.
    """
    if trace.ranks < 2:
        return
    if "ranks" not in trace.facts:
        yield Need("ranks")
        return
    for seen in trace.facts["ranks"]:
        if seen.parallel is None:
            continue
        for sharded in (True, False):
            found = [one for one in seen.parallel.uneven if one.sharded is sharded]
            if found and (sharded or not seen.parallel.tolerates_unused):
                yield _finding(seen.parallel, found, sharded)


def _finding(ranks: RanksTrace, found: list[Reach], sharded: bool) -> Finding:
    odd = sorted({rank for one in found for rank in one.without})
    because = (
        "their shards were not handed the part of the gradient that belongs to them"
        if sharded
        else "forward uses them on some ranks and goes another way on others, by the data or by the rank"
    )
    return Finding(
        rule="uneven-gradient",
        severity=Severity.ERROR,
        message=f"{counted(len(found), 'parameter')} get no gradient on {len(odd)} of {ranks.size} ranks (0 allowed)",
        places=tuple(Place(one.name) for one in found),
        details=(
            ("odd", f"none on rank {listed([str(rank) for rank in odd])}"),
            ("because", because),
            ("help", "let every parameter take part on every rank, or set find_unused_parameters=True"),
        ),
        got=float(len(odd)),
        bound=0.0,
    )


RANKS = 2
"""The examples run on so many."""


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


def sick() -> nn.Module:
    import os

    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    class Skips(nn.Module):
        """Every other rank goes around the middle."""

        def __init__(self) -> None:
            super().__init__()
            self.enter, self.leave = nn.Linear(16, 32), nn.Linear(32, 4)
            self.middle = nn.Linear(32, 32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.enter(x))
            if os.environ.get("RANK", "0") == "0":
                h = torch.relu(self.middle(h))
            y: torch.Tensor = self.leave(h)
            return y

    net = Skips()
    return DistributedDataParallel(net) if dist.is_initialized() else net
