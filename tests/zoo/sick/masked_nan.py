"""Sick losses and layers whose NaN hides: in a loss with a finite derivative, or before a ReLU that takes it away."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def log_of_logits(out: Tensor, target: Tensor) -> Tensor:
    return -(F.one_hot(target, 4) * torch.log(out)).sum(1).mean()


@sick("nonfinite-gradient", "the loss", loss=log_of_logits, targets=torch.arange(32) % 4)
def logarithm_of_negative_logits() -> Built:
    return net(), torch.randn(32, 8)


def entropy(out: Tensor) -> Tensor:
    return (out * torch.log2(out - 0.1)).sum(1).mean()


@sick("nonfinite-gradient", "the loss", loss=entropy)
def entropy_of_numbers_that_are_no_probabilities() -> Built:
    return net(), torch.randn(32, 8)


def beyond(out: Tensor) -> Tensor:
    return out.square().mean() - torch.zeros(()).log()


@sick("nonfinite-gradient", "the loss", loss=beyond)
def infinite_constant_in_the_loss() -> Built:
    return net(), torch.randn(32, 8)


class Guarded(nn.Module):
    """A root that is made safe behind the root, and not before it."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Sequential(nn.Linear(8, 16), nn.ReLU()), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        out: Tensor = self.head(torch.where(h > 0, torch.sqrt(h), torch.zeros_like(h)))
        return out


@sick("nonfinite-gradient", "")
def root_made_safe_behind_the_root() -> Built:
    return Guarded(), torch.randn(32, 8)
