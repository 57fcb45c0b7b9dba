"""Writes in place that backward does not mind: nothing that an operation saved is touched."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound


class Filled(nn.Module):
    """A table of states that is filled step by step; what is read of it is cloned."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.Linear(12, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        states, state = x.new_zeros(x.shape[1], x.shape[0], 8), x.new_zeros(x.shape[0], 8)
        for t in range(x.shape[1]):
            state = torch.tanh(self.cell(torch.cat([x[:, t], state], -1)))
            states[t] = state
        out: Tensor = self.head(states.mean(0))
        return out


@sound
def table_filled_with_results() -> Built:
    return Filled(), torch.randn(16, 5, 4)


class Sums(nn.Module):
    """A sum in place behind a linear layer, and an in-place ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(8, 24), nn.Linear(8, 24), nn.Linear(24, 3)
        self.act, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h += self.b(x)
        out: Tensor = self.head(self.drop(self.act(h)))
        return out


@sound
def sums_and_rectifiers_in_place() -> Built:
    return Sums(), torch.randn(32, 8)


class Border(nn.Module):
    """The border of a map is put to zero in a clone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.score, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv(x))
        score = torch.sigmoid(self.score(h)).clone()
        score[:, :, 0] = 0
        score[:, :, :, 0] = 0
        out: Tensor = self.head((h * score).mean((-2, -1)))
        return out


@sound
def border_of_a_cloned_map() -> Built:
    return Border(), torch.randn(8, 3, 12, 12)
