"""Small training loops: each takes a function that is called with the loss before each step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gradcheck_health import watch

Loss = Callable[[Any], Any]


def net(activation: type[nn.Module] = nn.ReLU, width: int = 16) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, width), activation(), nn.Linear(width, 1))


def batch(seed: int = 0, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(size, 8, generator=torch.Generator().manual_seed(seed))
    return x, x[:, :1] - x[:, 1:2]


def plain(model: nn.Module, optimizer: Any, steps: int, tell: Loss, *, clear: bool = True, same: bool = False) -> None:
    """The usual loop."""
    for k in range(steps):
        x, y = batch(0 if same else k)
        if clear:
            optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        tell(loss)
        loss.backward()
        optimizer.step()


def watched(model: Any, optimizer: Any, loop: Callable[[Loss], Any], **settings: Any) -> Any:
    """The watch after the loop has run, with its findings kept instead of issued."""
    found: list[Any] = []
    with watch(model, optimizer, **{"on_sick": found.append, **settings}) as health:
        loop(health.loss)
    return health


def rules_of(health: Any, *, notes: bool = False) -> set[str]:
    return {one.rule for one in health.report.findings if notes or str(one.severity) != "note"}


def snapshot(*objects: Any) -> Any:
    return copy.deepcopy([one.state_dict() for one in objects])
