"""Models of the tests, as a user's file has them: plain ones, and each wrapped for several processes."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def relu_net() -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(6):
        layers += [nn.Linear(16, 16), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-2].weight)  # type: ignore[arg-type]
    return nn.Sequential(*layers, nn.Linear(16, 4))


def sigmoid_net() -> nn.Module:
    layers = [layer for _ in range(16) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(*layers, nn.Linear(16, 4))


def sound() -> nn.Module:
    return DistributedDataParallel(relu_net())


def sick() -> nn.Module:
    return DistributedDataParallel(sigmoid_net())


class Fault(nn.Module):
    """Rank 1 does something else in forward."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.net, self.kind = relu_net(), kind

    def forward(self, x: torch.Tensor) -> Any:
        if os.environ.get("RANK") == "1":
            if self.kind == "die":
                os.kill(os.getpid(), 9)
            if self.kind == "stall":
                time.sleep(1000)
            if self.kind == "raise":
                raise ValueError("here only")
        return self.net(x)


def dies() -> nn.Module:
    return DistributedDataParallel(Fault("die"))


def stalls() -> nn.Module:
    return DistributedDataParallel(Fault("stall"))


def raises() -> nn.Module:
    return DistributedDataParallel(Fault("raise"))
