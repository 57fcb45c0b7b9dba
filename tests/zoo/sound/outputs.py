"""Sound models whose outputs hardly vary at first, and whose parts count for different amounts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class Kelvin(nn.Module):
    """Predicts deviations from a large mean."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 24), nn.GELU(), nn.Linear(24, 1))

    def forward(self, x: Tensor) -> Tensor:
        return 288.0 + 10.0 * self.net(x)


@sound
def deviations_from_a_large_mean() -> Built:
    return Kelvin(), torch.randn(32, 10)


class WithPrior(nn.Module):
    """Hands out a learned prior, the same for every sample, beside what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(10, 4)
        self.prior = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"posterior": self.net(x), "prior": self.prior.expand(len(x), -1)}


@sound
def learned_prior_beside_the_output() -> Built:
    return WithPrior(), torch.randn(32, 10)


class Auxiliary(nn.Module):
    """Two heads of one shape, the second with a weight of 0.01 in the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(10, 16)
        self.heads = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)) for _ in range(2))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z = F.gelu(self.trunk(x))
        return F.cross_entropy(self.heads[0](z), y) + 0.01 * F.cross_entropy(self.heads[1](z), y)


@sound
def auxiliary_head() -> Built:
    return Auxiliary(), (torch.randn(33, 10), torch.arange(33) % 3)


class Schedule(nn.Module):
    """A batch that holds the same image under two noise levels, and answers mostly by the time embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Embedding(10, 8)
        self.net = nn.Sequential(nn.Linear(20, 32), nn.SiLU(), nn.Linear(32, 12))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([0.01 * x, self.time(t)], -1))


@sound
def mostly_the_time_embedding() -> Built:
    return Schedule(), (torch.randn(32, 12), torch.zeros(32, dtype=torch.long))
