"""Sick models whose weights have one sign in layers one behind another: torch.rand where randn was meant."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick

RULE = "one-sided-weight"


class ByHand(nn.Module):
    """Matrices of its own, as in a first tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.rand(64, 64) * 0.1)
        self.w2 = nn.Parameter(torch.rand(64, 64) * 0.1)
        self.w3 = nn.Parameter(torch.rand(64, 64) * 0.1)
        self.w4 = nn.Parameter(torch.rand(64, 10) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        for weight in (self.w1, self.w2, self.w3):
            x = torch.tanh(x @ weight)
        return x @ self.w4


@sick(RULE, "w1", "w2", "w3")
def matrices_of_rand() -> Built:
    return ByHand(), torch.randn(64, 64)


def positive(module: nn.Module) -> None:
    """Somebody's init function."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.uniform_(module.weight, 0.0, 2.0 / module.weight[0].numel() ** 0.5)


@sick(RULE, "0", "2", "4")
def uniform_from_zero_on() -> Built:
    model = nn.Sequential(
        nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 10)
    )
    return model.apply(positive), torch.randn(64, 64)


@sick(RULE, "2", "4", "6")
def convolutions_of_one_sign() -> Built:
    layers: list[nn.Module] = [nn.Conv2d(3, 48, 3, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Conv2d(48, 48, 3), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(48, 10))
    for layer in model[2:8:2]:
        layer.weight.data.abs_().mul_(0.2)
    return model, torch.randn(16, 3, 7, 7)


@sick(RULE, "0", "3", "6")
def negative_weights_between_batch_norms() -> Built:
    layers: list[nn.Module] = []
    for _ in range(3):
        layer = nn.Linear(96, 96)
        layer.weight.data.abs_().neg_()
        layers += [layer, nn.BatchNorm1d(96), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(96, 10)), torch.randn(64, 96)
