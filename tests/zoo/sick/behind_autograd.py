"""Sick models whose forward uses what was computed before it, or writes values that gradients know nothing of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick
from tests.zoo.sound.behind_autograd import Clipped, Fake


class Product(nn.Module):
    """A weight of low rank that was multiplied out once."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(16, 3)), nn.Parameter(torch.randn(3, 8))
        self.whole = self.left @ self.right
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(F.linear(x, self.whole)))
        return out


@sick("unregistered-parameter", "whole")
def weight_multiplied_out_in_the_constructor() -> Built:
    return Product(), torch.randn(32, 8)


class Table(nn.Module):
    """Positions that went through their layer once."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.project, self.out = nn.Embedding(30, 16), nn.Linear(4, 16), nn.Linear(16, 5)
        self.places = torch.tanh(self.project(torch.randn(10, 4)))

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.out(self.embed(ids) + self.places)
        return out


@sick("unregistered-parameter", "places")
def positions_projected_in_the_constructor() -> Built:
    return Table(), torch.randint(0, 30, (16, 10))


class Rounded(Fake):
    """Rounds its own weight in place, under no_grad."""

    def weights(self) -> Tensor:
        with torch.no_grad():
            self.weight.copy_(self.on_grid(self.weight))
        return self.weight


@sick("cut-gradient", "0", "2")
def weights_rounded_in_place() -> Built:
    return nn.Sequential(Rounded(8, 32), nn.ReLU(), Rounded(32, 4)), torch.randn(32, 8)


class Binary(Fake):
    """Keeps the sign of its weight."""

    def weights(self) -> Tensor:
        self.weight.data = self.weight.data.sign() * 0.1
        return self.weight


@sick("cut-gradient", "0", "2")
def weights_replaced_by_their_signs() -> Built:
    return nn.Sequential(Binary(8, 32), nn.ReLU(), Binary(32, 4)), torch.randn(32, 8)


class ClippedUnseen(Clipped):
    def clip(self, h: Tensor) -> Tensor:
        h.data.clamp_(-0.5, 0.5)
        return h


@sick("cut-gradient", "")
def features_clipped_through_data() -> Built:
    return ClippedUnseen(), torch.randn(32, 8)


class Erased(Clipped):
    def clip(self, h: Tensor) -> Tensor:
        copy = h.detach()
        copy[copy < 0] = 0
        return h


@sick("cut-gradient", "")
def features_erased_through_a_detached_view() -> Built:
    return Erased(), torch.randn(32, 8)
