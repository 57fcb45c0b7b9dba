"""Sound: bounded scores whose softmax weighs a few values of the model, and is no head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound


class Array(nn.Module):
    """A recurrent cell with several memories a unit; how much each one takes part is a softmax of gates (Rocki 2016)."""

    def __init__(self, width: int = 16, memories: int = 4) -> None:
        super().__init__()
        self.width, self.memories = width, memories
        self.share = nn.Linear(2 * width, width * memories)
        self.gates = nn.Linear(2 * width, 4 * width * memories)

    def forward(self, x: Tensor) -> Tensor:
        h, c = x.new_zeros(len(x), self.width), x.new_zeros(len(x), self.memories, self.width)
        for step in x.unbind(1):
            seen = torch.cat([step, h], -1)
            share = self.share(seen).sigmoid().unflatten(1, (self.memories, -1)).softmax(1)
            forget, enter, leave, new = self.gates(seen).unflatten(1, (self.memories, -1)).chunk(4, -1)
            c = (1 - share * (1 - forget.sigmoid())) * c + share * enter.sigmoid() * new.tanh()
            h = (share * leave.sigmoid() * c.tanh()).sum(1)
        return h


@sound
def softmax_of_gates_over_memories() -> Built:
    return Array(), torch.randn(32, 7, 16)


class SelectiveKernels(nn.Module):
    """Branches with kernels of several widths, mixed per channel by a softmax of squashed scores."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv1d(8, 8, width, padding=width // 2) for width in (1, 3, 5))
        self.scores = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        values = torch.stack([branch(x) for branch in self.branches], 1)
        scores = self.scores(values.sum(1).mean(-1)).sigmoid().unflatten(1, (3, 8))
        return (scores.softmax(1).unsqueeze(-1) * values).sum(1)


@sound
def branches_mixed_by_a_softmax_of_squashed_scores() -> Built:
    return SelectiveKernels(), torch.randn(32, 8, 20)


class TwoGates(nn.Module):
    """A gate whose argument is a share already: it lies between a half and three quarters, and scales what passes."""

    def __init__(self) -> None:
        super().__init__()
        self.share, self.value = nn.Linear(12, 6), nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.share(x).softmax(-1).sigmoid() * self.value(x)


@sound
def gate_of_a_share() -> Built:
    return TwoGates(), torch.randn(32, 12)
