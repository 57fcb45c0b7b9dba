"""Runs on every rank: training steps as people write them, of a model that lies on several ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel as Ddp

from gradcheck_health import check_step
from tests.check.distributed.nets import Residual
from tests.check.distributed.spread import fsdp, verdict


def sound(model: nn.Module) -> Any:
    return model


def inside(model: Any) -> Any:
    """Goes around the wrapper, so that nothing is brought together."""
    return model.module


WAYS: dict[str, tuple[Callable[[nn.Module], nn.Module], Callable[[Any], Any], Callable[[], float]]] = {
    "ddp": (Ddp, sound, lambda: 0.1), "fsdp": (fsdp, sound, lambda: 0.1), "inside": (Ddp, inside, lambda: 0.1),
    "no_sync": (Ddp, sound, lambda: 0.1), "rates": (Ddp, sound, lambda: 0.1 * (1 + dist.get_rank())),
}  # fmt: skip


def verdicts() -> dict[str, Any]:
    return {way: checked(way) for way in WAYS}


def checked(way: str) -> Any:
    spread, called, rate = WAYS[way]
    torch.manual_seed(0)
    model: Any = spread(Residual())
    optimizer = torch.optim.SGD(model.parameters(), lr=rate())
    x = torch.randn(8, 12, generator=torch.Generator().manual_seed(dist.get_rank()))

    def step() -> None:
        optimizer.zero_grad()
        with model.no_sync() if way == "no_sync" else contextlib.nullcontext():
            called(model)(x).square().mean().backward()
        optimizer.step()

    report = check_step(step, model, optimizer)
    return {"verdict": verdict(report), "said": [finding.message for finding in report.findings]}
