"""Sound models with weights of one sign: one layer alone, the common sum taken out, free weights or a stream beside them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


def one_sign(layer: nn.Linear) -> nn.Linear:
    layer.weight.data.abs_()
    return layer


@sound
def one_layer_of_one_sign() -> Built:
    model = nn.Sequential(one_sign(nn.Linear(64, 64)), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    return model, torch.randn(64, 64)


@sound
def layers_of_one_sign_between_layer_norms() -> Built:
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [one_sign(nn.Linear(64, 64)), nn.LayerNorm(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10)), torch.randn(64, 64)


class Convex(nn.Module):
    """Convex in its input (Amos et al. 2017): small positive weights from layer to layer, free ones from the input to each."""

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.ModuleList(nn.Linear(64, 64) for _ in range(3))
        self.positive = nn.ModuleList(nn.Linear(64, 64, bias=False) for _ in range(2))
        self.head = nn.Linear(64, 1)
        for layer in self.positive:
            nn.init.uniform_(layer.weight, 0.0, 0.02)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.free[0](x))
        for free, positive in zip(self.free[1:], self.positive, strict=True):
            h = F.relu(free(x) + positive(h))
        return self.head(h)


@sound
def convex_in_its_input() -> Built:
    return Convex(), torch.randn(64, 64)


class Mixing(nn.Module):
    """Shares of attention that are learnt as such: rows of positive numbers, around a stream that goes on beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.shares = nn.ParameterList(nn.Parameter(torch.rand(64, 64) / 32) for _ in range(2))
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(2))
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        for share, layer in zip(self.shares, self.layers, strict=True):
            x = x + torch.tanh(layer(share @ x))
        return self.head(x)


@sound
def learnt_shares_of_neighbours() -> Built:
    return Mixing(), torch.randn(16, 64, 24)
