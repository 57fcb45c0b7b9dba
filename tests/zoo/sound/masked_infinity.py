"""Sound models with an infinite derivative on the way back that no parameter gets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound


class Rectified(nn.Module):
    """A function with an infinite slope at zero, behind a rectifier: where it is infinite the rectifier is off."""

    def __init__(self, rectifier: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.features, self.head = nn.Sequential(nn.Linear(8, 16), rectifier), nn.Linear(16, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.function(self.features(x)))
        return out


@sound
def root_of_a_rectifier() -> Built:
    return Rectified(nn.ReLU(), torch.sqrt), torch.randn(32, 8)


@sound
def power_of_a_clipped_rectifier() -> Built:
    return Rectified(nn.ReLU6(), lambda h: h**0.5), torch.randn(32, 8)


@sound
def cube_root_of_a_rectifier() -> Built:
    return Rectified(nn.ReLU(), lambda h: h.pow(1 / 3)), torch.randn(32, 8)
