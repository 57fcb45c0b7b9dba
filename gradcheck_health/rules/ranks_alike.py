"""Ranks that do the same: the same batch, or the same dropout masks, on every one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn


def ranks_alike(trace: Trace) -> Iterator[Finding | Need]:
    """Every rank works on the same batch, or draws the same random numbers.

    What it does: compares the batches that the ranks were given, and where their generators stood before the check, if
    forward draws from them.

    Why it is bad: ranks with one batch do the work of one rank, as often as there are ranks. Equal dropout masks and
    augmentations make the noise of all samples in a step alike, so that averaging over ranks does not take it away.

    How it is measured: sums of the batch's tensors, and the state of torch's generator. Always a note, because a test may
    give one batch on purpose. Batches that are made up, and factories, which the check seeds itself, are not judged.

    When it is legitimate: in tests, and on the ranks of one tensor parallel group, which share a batch.

    How to fix: a DistributedSampler (with set_epoch), and torch.manual_seed(seed + rank) after the model is built.

    How to silence: ignore={"ranks-alike": "the reason"}.
    """
    if trace.ranks < 2:
        return
    if "ranks" not in trace.facts:
        yield Need("ranks")
        return
    for seen in trace.facts["ranks"]:
        ranks = seen.parallel
        if ranks is None or ranks.scheme in ("tensor parallel", "pipeline"):
            continue
        if ranks.same_batch:
            yield _finding(
                f"{ranks.size} of {ranks.size} ranks were given the same batch",
                "every rank reads the same data: no DistributedSampler, or one that every rank thinks it is rank 0 of",
                "a DistributedSampler for the loader, or another part of the batch for each rank",
            )
        if ranks.same_seed:
            yield _finding(
                f"forward draws the same random numbers on {ranks.size} of {ranks.size} ranks",
                "the generators of all ranks stand at the same place: dropout masks are equal",
                "torch.manual_seed(seed + rank) after the model is built",
            )


def _finding(message: str, because: str, help_: str) -> Finding:
    details = (("because", because), ("help", help_))
    return Finding("ranks-alike", Severity.NOTE, message, (Place("", "data" if "batch" in message else "seed"),), details)


RANKS = 2
"""The examples run on so many."""


def healthy() -> nn.Module:
    import os

    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(16, 32), nn.Dropout(0.1), nn.Linear(32, 4))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2, generator=torch.manual_seed(0))
    torch.manual_seed(1 + int(os.environ.get("RANK", "0")))
    return model


def sick() -> nn.Module:
    import torch
    from torch import nn

    torch.manual_seed(0)  # and nothing for each rank afterwards
    return nn.Sequential(nn.Linear(16, 32), nn.Dropout(0.1), nn.Linear(32, 4))
