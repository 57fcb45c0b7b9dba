"""Sick models in which an operation joins the samples of a batch, so weakly, or so smoothly, that it is easily missed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick
from tests.zoo.sound.joined import Kernels, Tempered


@sick("mixed-samples", "")
def softmax_over_the_batch_of_pooled_pictures() -> Built:
    return Kernels(axis=1), torch.randn(32, 3, 24, 24)


@sick("mixed-samples", "")
def gate_of_the_batch_at_a_high_temperature() -> Built:
    return Tempered(axis=0), torch.randn(32, 8)


class Centred(nn.Module):
    """Takes a little of the mean of the batch away."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        out: Tensor = self.second(torch.tanh(h - 0.05 * h.mean(0)))
        return out


@sick("mixed-samples", "")
def a_little_of_the_mean_of_the_batch() -> Built:
    return Centred(), torch.randn(32, 8)


class Slots(nn.Module):
    """A decoder that gets its steps one by one, as [batch, 1, features], and was built without batch_first."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.reader = nn.Embedding(40, 12), nn.GRU(12, 16, batch_first=True)
        self.writer, self.head = nn.GRU(16, 16), nn.Linear(16, 5)

    def forward(self, words: Tensor) -> Tensor:
        memory, _ = self.reader(self.embed(words))
        steps = [self.writer(step.unsqueeze(1))[0] for step in memory.transpose(0, 1)]
        out: Tensor = self.head(torch.cat(steps, 1))
        return out


@sick("mixed-samples", "writer")
def decoder_that_walks_over_the_batch() -> Built:
    return Slots(), torch.randint(0, 40, (16, 9))


class Loudest(nn.Module):
    """The maximum over the first axis, where the points of a cloud were meant."""

    def __init__(self) -> None:
        super().__init__()
        self.local, self.head = nn.Linear(3, 32), nn.Linear(64, 4)

    def forward(self, points: Tensor) -> Tensor:
        h = torch.relu(self.local(points))
        whole = h.max(0, keepdim=True).values.expand_as(h)
        out: Tensor = self.head(torch.cat((h, whole), -1)).mean(1)
        return out


@sick("mixed-samples", "")
def maximum_over_the_batch() -> Built:
    return Loudest(), torch.randn(32, 10, 3)
