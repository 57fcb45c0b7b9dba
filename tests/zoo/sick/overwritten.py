"""Something is written in place into a value that backward still needs: torch raises, and names no line."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick


class Rectified(nn.Module):
    """An in-place ReLU right behind a tanh, which needs its result."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 3)
        self.squash, self.act = nn.Tanh(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.act(self.squash(self.first(x))))
        return out


@sick("failed-backward", "act")
def in_place_rectifier_behind_a_tanh() -> Built:
    return Rectified(), torch.randn(16, 8)


class Memory(nn.Module):
    """A table of states that is filled step by step, and read while it is filled."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.Linear(12, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        states = x.new_zeros(x.shape[1] + 1, x.shape[0], 8)
        for t in range(x.shape[1]):
            states[t + 1] = torch.tanh(self.cell(torch.cat([x[:, t], states[t]], -1))) * states[t].cosh()
        out: Tensor = self.head(states[-1])
        return out


@sick("failed-backward", "")
def states_written_into_the_table_they_are_read_from() -> Built:
    return Memory(), torch.randn(16, 5, 4)


class Masked(nn.Module):
    """The weights of an attention, put to zero after the softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.values = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.scores(x), -1)
        weights.masked_fill_(x < -1, 0.0)
        out: Tensor = self.values(weights * x)
        return out


@sick("failed-backward", "")
def mask_written_into_a_softmax() -> Built:
    return Masked(), torch.randn(16, 6)
