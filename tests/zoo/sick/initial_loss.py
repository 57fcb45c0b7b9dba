"""Sick models that start out certain and wrong: a loss far above that of a constant output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

RULE = "high-initial-loss"
SEEN = {"saturated-activation": "what is too large saturates what comes after it"}
LABELS = torch.arange(64) % 5


def normal(*shape: int) -> Tensor:
    """Targets: the same in every process."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    def __init__(self, outputs: int, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.body = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.head = nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)) / self.temperature


class Loss(nn.Module):
    """Returns its own loss, beside the logits."""

    def __init__(self, net: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.net, self.temperature = net, temperature

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        logits = self.net(x)
        return {"loss": F.cross_entropy(logits / self.temperature, y), "logits": logits.detach()}


@sick(RULE, "head", loss="CrossEntropyLoss", targets=LABELS)
def final_layer_with_std_20() -> Built:
    net = Net(5)
    nn.init.normal_(net.head.weight, std=20.0)
    return net, torch.randn(64, 12)


class Pixels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16 * 8 * 8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(x)).flatten(1))


@sick(RULE, "head", loss="cross_entropy", data="values of 0 to 255")
def inputs_of_0_to_255() -> Built:
    return Pixels(), torch.randint(0, 256, (32, 1, 16, 16)).float()


@sick(RULE, "head", loss=lambda output, y: (output - y).square().mean(), targets=normal(64, 3))
def bias_at_100() -> Built:
    net = Net(3)
    nn.init.constant_(net.head.bias, 100.0)
    return net, torch.randn(64, 12)


@sick(RULE, "net.head")
def logits_scaled_by_200() -> Built:
    return Loss(Net(5), temperature=1 / 200), (torch.randn(64, 12), LABELS)


@sick(RULE, "net.head")
def temperature_divided_by_twice() -> Built:
    return Loss(Net(5, temperature=0.05), temperature=0.05), (torch.randn(64, 12), LABELS)


@sick(RULE, "head", loss="MSELoss", targets=1000 + 50 * normal(64, 1))
def targets_around_a_thousand() -> Built:
    return Net(1), torch.randn(64, 12)


class Probability(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(super().forward(x))


@sick(RULE, "head", also=SEEN, loss="BCELoss", targets=(torch.arange(64) % 2).float().unsqueeze(1))
def certain_probabilities() -> Built:
    return Probability(1, temperature=0.002), torch.randn(64, 12)
