"""Runs on every rank: what a pass under observation says to the other ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor.debug import CommDebugMode

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe import Subject, probe
from gradcheck_health.probe.statistics import over_ranks
from gradcheck_health.records.inputs import Inputs
from tests.check.distributed.spread import WAYS, made


def communications(ways: Sequence[str]) -> dict[str, Any]:
    return {way: communication(way) for way in ways}


def communication(way: str) -> dict[str, Any]:
    """Collective operations of a bare step, those of a pass under observation, and how many numbers the pass itself sends."""
    model = WAYS[way](made("transformer"))
    ids = torch.randint(0, 32, (4, 6), generator=torch.Generator().manual_seed(0))
    step(model, ids)
    with CommDebugMode() as bare:
        step(model, ids)
    sent: list[int] = []
    plain = over_ranks.gathered

    def counted(rows: Any, group: Any) -> Any:
        sent.append(sum(map(len, rows)))
        return plain(rows, group)

    over_ranks.gathered = counted
    try:
        with sandbox(model), CommDebugMode() as observed:
            probe(Subject(model, Inputs((ids,), batch=4)))
    finally:
        over_ranks.gathered = plain
    return {
        "bare": {str(op): count for op, count in bare.get_comm_counts().items()},
        "observed": {str(op): count for op, count in observed.get_comm_counts().items()},
        "sent": sent,
        "parameters": len(list(model.parameters())),
    }


def step(model: nn.Module, *inputs: torch.Tensor) -> None:
    model.zero_grad()
    model(*inputs).square().mean().backward()
