"""Sound models beside which a batch that is joined looks alike: gates of one sample, scales of quantisers, time first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound


class Kernels(nn.Module):
    """Branches of several kernels, weighed against one another by a softmax (selective kernels)."""

    def __init__(self, axis: int = 0) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 8, size, padding=size // 2) for size in (1, 3, 5))
        self.squeeze, self.weigh = nn.Linear(8, 4), nn.ModuleList(nn.Linear(4, 8) for _ in range(3))
        self.head, self.axis = nn.Linear(8, 4), axis

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack([torch.relu(conv(x)) for conv in self.convs])
        whole = self.squeeze(branches.sum(0).mean((-2, -1)))
        weights = torch.stack([weigh(whole)[:, :, None, None] for weigh in self.weigh]).softmax(self.axis)
        out: Tensor = self.head((weights * branches).sum(0).mean((-2, -1)))
        return out


@sound
def softmax_over_branches_of_pooled_pictures() -> Built:
    return Kernels(), torch.randn(32, 3, 24, 24)


class Tempered(nn.Module):
    """A gate whose softmax is nearly flat."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.first, self.gate, self.second = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 4)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        out: Tensor = self.second(h + h * torch.softmax(self.gate(h) / 30, self.axis))
        return out


@sound
def gate_of_the_units_at_a_high_temperature() -> Built:
    return Tempered(), torch.randn(32, 8)


class Quantised(nn.Module):
    """Activations are rounded on a grid whose scale the batch decides; gradients go straight through."""

    def __init__(self, levels: int, by_unit: bool = False, learnt: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 4)
        self.levels, self.by_unit, self.learnt = levels, by_unit, learnt

    def quantise(self, x: Tensor) -> Tensor:
        seen = x.abs() if self.learnt else x.detach().abs()
        scale = (seen.amax(0) if self.by_unit else seen.max()).clamp(min=1e-6) / self.levels
        return x + (torch.round(x / scale) * scale - x).detach()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.quantise(torch.relu(self.first(self.quantise(x)))))
        return out


@sound
def three_bits_of_a_scale_for_the_batch() -> Built:
    return Quantised(7), torch.randn(32, 8)


@sound
def seven_bits_of_a_scale_for_each_unit() -> Built:
    return Quantised(127, by_unit=True), torch.randn(32, 8)


@sound
def scale_that_passes_a_gradient() -> Built:
    return Quantised(7, learnt=True), torch.randn(32, 8)


class TimeFirst(nn.Module):
    """Recurrent and attending layers that take [time, batch, features] throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.mix = nn.LSTM(8, 16), nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.mix(self.reader(x)[0]))
        return out


@sound
def time_first_throughout() -> Built:
    return TimeFirst(), torch.randn(12, 6, 8)
