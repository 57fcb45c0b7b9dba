"""Sound models with parametrised weights, or with activations that are computed again in backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

from tests.zoo.entry import Built, sound


@sound
def weight_norm() -> Built:
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [parametrizations.weight_norm(nn.Linear(24, 24)), nn.ReLU()]
    return nn.Sequential(*layers, parametrizations.weight_norm(nn.Linear(24, 3))), torch.randn(32, 24)


@sound
def spectral_norm() -> Built:
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [parametrizations.spectral_norm(nn.Linear(24, 24)), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Linear(24, 1)), torch.randn(32, 24)


@sound
def orthogonal_parametrization() -> Built:
    return nn.Sequential(
        parametrizations.orthogonal(nn.Linear(16, 16)), nn.Tanh(), parametrizations.orthogonal(nn.Linear(16, 16))
    ), torch.randn(16, 16)


class Symmetric(nn.Module):
    """The upper triangle decides the whole matrix: the lower one's gradient is 0."""

    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).T


@sound
def symmetric_parametrization() -> Built:
    layer = nn.Linear(16, 16)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(16, 4)), torch.randn(16, 16)


class Checkpointed(nn.Module):
    """Blocks whose activations are computed again in backward."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 32)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Dropout(0.1)) for _ in range(4))
        self.leave = nn.Linear(32, 3)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Any:
        h = self.enter(x)
        for block in self.blocks:
            h = h + checkpoint(block, h, use_reentrant=self.reentrant)
        return self.leave(h)


@sound
def checkpoint_reentrant() -> Built:
    return Checkpointed(True), torch.randn(16, 8)


@sound
def checkpoint_non_reentrant() -> Built:
    return Checkpointed(False), torch.randn(16, 8)
