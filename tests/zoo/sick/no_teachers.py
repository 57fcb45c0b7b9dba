"""Sick models with a part that gets no gradient and looks like a teacher: what is trained takes its values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick
from tests.zoo.sound.teachers import encoder


class Features(nn.Module):
    """An encoder under an accidental no_grad."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = encoder(), nn.Linear(8, 3)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        out: Tensor = self.encoder(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(x))
        return out


@sick("cut-gradient", "encoder")
def encoder_under_an_accidental_no_grad() -> Built:
    return Features(), torch.randn(32, 8)


class Halves(nn.Module):
    """Two stacks of the same shapes, one behind the other, and a cut between them."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = encoder(), encoder()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = self.lower(x)
        out: Tensor = self.upper(h)
        return out


@sick("cut-gradient", "lower")
def lower_half_without_gradient() -> Built:
    return Halves(), torch.randn(32, 8)


class Blocks(nn.Module):
    """Residual blocks of the same shapes, of which one is detached."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)) for _ in range(4))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for k, block in enumerate(self.blocks):
            x = x + (block(x).detach() if k == 2 else block(x))
        out: Tensor = self.head(x)
        return out


@sick("cut-gradient", "blocks.2")
def one_of_the_blocks_detached() -> Built:
    return Blocks(), torch.randn(32, 8)
