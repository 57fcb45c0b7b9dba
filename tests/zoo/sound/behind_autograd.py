"""Sound models that write values in forward: straight-through weights, projections, statistics, first-batch initialisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class Fake(nn.Linear):
    """Fake quantisation: rounded weights whose gradient goes straight through."""

    @staticmethod
    def on_grid(weight: Tensor) -> Tensor:
        scale = weight.detach().abs().max() / 7
        return torch.round(weight / scale) * scale

    def weights(self) -> Tensor:
        return self.weight + (self.on_grid(self.weight) - self.weight).detach()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weights(), self.bias)


@sound
def weights_rounded_straight_through() -> Built:
    return nn.Sequential(Fake(8, 32), nn.ReLU(), Fake(32, 4)), torch.randn(32, 8)


class Bounded(nn.Linear):
    """Keeps the norm of every unit below a bound by writing its weight back (EEGNet)."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.renorm(self.weight.data, p=2, dim=0, maxnorm=0.5)
        return super().forward(x)


@sound
def units_renormalised_in_forward() -> Built:
    return nn.Sequential(Bounded(8, 32), nn.ReLU(), nn.Linear(32, 4)), torch.randn(32, 8)


class FirstBatch(nn.Module):
    """Shift and scale from the first batch that it sees (Glow)."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.scale = nn.Parameter(torch.zeros(8)), nn.Parameter(torch.ones(8))
        self.register_buffer("seen", torch.tensor(False))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        if not self.seen:
            with torch.no_grad():
                self.shift.copy_(-x.mean(0))
                self.scale.copy_(1 / (x.std(0) + 1e-6))
                self.seen.fill_(True)
        out: Tensor = self.head((x + self.shift) * self.scale)
        return out


@sound
def initialised_by_the_first_batch() -> Built:
    return FirstBatch(), 3 + 2 * torch.randn(32, 8)


class Clipped(nn.Module):
    """Features that are clipped."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def clip(self, h: Tensor) -> Tensor:
        return h.clamp(-0.5, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.clip(self.first(x)))
        return out


@sound
def features_clipped() -> Built:
    return Clipped(), torch.randn(32, 8)


class Masked(nn.Module):
    """Attention whose scores are masked through .data, as was usual before 2018: what is masked passes nothing anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 8**0.5
        scores.data.masked_fill_(hidden.unsqueeze(1), -1e9)
        out: Tensor = torch.softmax(scores, -1) @ self.value(x)
        return out


@sound
def scores_masked_through_data() -> Built:
    hidden = torch.zeros(16, 6, dtype=torch.bool)
    hidden[::2, 4:] = True
    return Masked(), (torch.randn(16, 6, 8), hidden)


class Averages(nn.Module):
    """Keeps a moving average of its features, and a codebook that follows them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)
        self.register_buffer("mean", torch.zeros(16))
        self.codes = nn.Parameter(torch.randn(5, 16), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        if self.training:
            with torch.no_grad():
                self.mean.mul_(0.9).add_(h.mean(0), alpha=0.1)
                self.codes.data[torch.cdist(h, self.codes).argmin(1)] = h.detach()
        out: Tensor = self.second(torch.tanh(h - self.mean.clone()))
        return out


@sound
def averages_and_codes_that_follow() -> Built:
    return Averages(), torch.randn(32, 8)
