"""Sick models in which one sample's output depends on the others of its batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick


class SequenceClassifier(nn.Module):
    """Batch first everywhere, but nobody told the attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0)
        self.head = nn.Linear(32, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(tokens)).mean(dim=1))


@sick("mixed-samples", "encoder")
def attention_over_the_batch() -> Built:
    return SequenceClassifier(), torch.randint(50, (16, 9))


class LastStep(nn.Module):
    """A recurrent layer that runs through the batch instead of through the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(8, 24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x)
        return self.head(states[:, -1])


@sick("mixed-samples", "rnn", data="which axis counts the samples")
def recurrence_through_the_batch() -> Built:
    return LastStep(), torch.randn(16, 12, 8)


class Gate(nn.Module):
    """Softmax over experts, along the wrong axis."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(16, 4)
        self.experts = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        weights = F.softmax(self.gate(x), dim=0)
        mixed = sum(weights[:, i, None] * expert(x) for i, expert in enumerate(self.experts))
        return self.head(torch.relu(mixed))


@sick("mixed-samples", "")
def softmax_of_a_gate_over_the_batch() -> Built:
    return Gate(), torch.randn(32, 16)


class Standardised(nn.Module):
    """Its own normalisation, over all axes: batch statistics that eval mode does not turn off."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * (x - x.mean()) / (x.std() + 1e-5) + self.shift


@sick("mixed-samples", "1", "3")
def home_made_norm_over_everything() -> Built:
    return nn.Sequential(nn.Linear(16, 32), Standardised(32), nn.ReLU(), Standardised(32), nn.Linear(32, 4)), torch.randn(
        32, 16
    )


class Heads(nn.Module):
    """Splits heads by view() where a transpose belongs: rows of other samples end up in one head."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = (part.reshape(self.heads, b * t, self.size) for part in self.qkv(x).chunk(3, dim=-1))
        weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(self.size), dim=-1)
        return x + self.out((weights @ v).reshape(b, t, d))


@sick("mixed-samples", "0", "1", "2")
def heads_split_across_samples() -> Built:
    return nn.Sequential(nn.Linear(12, 32), Heads(), nn.LayerNorm(32), nn.Linear(32, 3)), torch.randn(8, 6, 12)


class FunctionalNorm(nn.Module):
    """F.batch_norm with training=True, whatever the mode of the model is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(F.batch_norm(self.conv(x), None, None, training=True))
        return self.head(h.mean((2, 3)))


@sick("mixed-samples", "")
def batch_statistics_in_eval_mode() -> Built:
    return FunctionalNorm(), torch.randn(16, 3, 12, 12)


class Centred(nn.Module):
    """A tenth of the batch mean is added: a memory that leaks."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(16, 32), nn.Tanh()), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.body(x)
        context = 0.3 * h.mean(dim=0, keepdim=True)
        return {"score": self.head(h + context)}


@sick("mixed-samples", "")
def context_from_the_batch() -> Built:
    return Centred(), torch.randn(24, 16)


class Running(nn.Module):
    """cumsum along the batch: the first sample is right, the last has seen all."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(8, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(torch.relu(self.enter(x)).cumsum(0) / len(x))


@sick("mixed-samples", "")
def running_sum_along_the_batch() -> Built:
    return Running(), torch.randn(16, 8)
