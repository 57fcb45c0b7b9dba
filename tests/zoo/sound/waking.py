"""Sound models that seem not to learn somewhere.

They begin with zeros or with equal units, which the first steps wake or tell apart, or this batch gives a softmax one entry.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound

Module = TypeVar("Module", bound=nn.Module)


def zeros(module: Module) -> Module:
    """Every parameter becomes zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class Last(nn.Module):
    """An LSTM whose last state is read."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(x)[0][:, -1])
        return out


@sound
def lstm_of_zeros_under_a_random_head() -> Built:
    model = Last()
    zeros(model.lstm)
    return model, torch.randn(16, 9, 8)


class Adapted(nn.Module):
    """Frozen layers with low-rank adapters, whose second half is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.ModuleList(nn.Linear(12, 12).requires_grad_(False) for _ in range(2))
        self.down = nn.ModuleList(nn.Linear(12, 4, bias=False) for _ in range(2))
        self.up = zeros(nn.ModuleList(nn.Linear(4, 12, bias=False) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        for base, down, up in zip(self.base, self.down, self.up, strict=True):
            x = torch.tanh(base(x) + up(down(x)))
        return x


@sound
def adapters_with_a_zero_half() -> Built:
    return Adapted(), torch.randn(32, 12)


class Factored(nn.Module):
    """A linear layer with a correction of low rank beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.zeros(10, 3)), nn.Parameter(torch.randn(3, 6))
        self.main = nn.Linear(10, 6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x) + x @ self.left @ self.right
        return out


@sound
def one_factor_zero() -> Built:
    return Factored(), torch.randn(32, 10)


class Gated(nn.Module):
    """A residual branch under a gain that starts at zero (ReZero)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(x + self.gain * self.outer(torch.tanh(self.inner(x))))
        return out


@sound
def rezero_branch() -> Built:
    return Gated(), torch.randn(32, 8)


class Conditioned(nn.Module):
    """Features times a condition that starts at zero, beside a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.condition, self.features = zeros(nn.Linear(4, 8)), nn.Linear(8, 8)
        self.out, self.skip = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        out: Tensor = self.skip(x) + self.out(self.condition(given) * self.features(x))
        return out


@sound
def zero_condition() -> Built:
    return Conditioned(), (torch.randn(32, 8), torch.randn(32, 4))


class HyperConnected(nn.Module):
    """Residual streams, mixed by weights of zeros whose columns are equal until the streams differ (Zhu et al. 2024)."""

    def __init__(self, streams: int = 4, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        eye = torch.eye(streams)
        self.streams, self.inside, self.head = streams, nn.Linear(8, width), nn.Linear(width, 3)
        self.fixed = nn.ParameterList(nn.Parameter(torch.cat((eye[:, k : k + 1], eye), 1)) for k in range(depth))
        self.moving = nn.ParameterList(nn.Parameter(torch.zeros(width, streams + 1)) for _ in range(depth))
        self.back = nn.ParameterList(nn.Parameter(torch.ones(streams)) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.inside(x).unsqueeze(1).expand(-1, self.streams, -1)
        parts = zip(self.fixed, self.moving, self.back, self.norms, self.blocks, strict=True)
        for fixed, moving, back, norm, block in parts:
            mixed = (fixed + 0.01 * torch.tanh(norm(h) @ moving)).transpose(1, 2) @ h
            h = back.unsqueeze(1) * block(mixed[:, :1]) + mixed[:, 1:]
        out: Tensor = self.head(h.sum(1))
        return out


@sound
def hyper_connections() -> Built:
    return HyperConnected(), torch.randn(32, 8)


class Skipped(nn.Module):
    """Two layers of zeros one behind another, in a branch beside a skip connection, under a head of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(8, 16), zeros(nn.Linear(16, 3))
        self.branch = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16))
        for layer in (self.branch[0], self.branch[2]):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.enter(x))
        out: Tensor = self.head(h + self.branch(h))
        return out


@sound
def zeros_beside_a_skip_connection() -> Built:
    return Skipped(), torch.randn(32, 8)


@sound
def one_hidden_layer_of_zeros() -> Built:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    nn.init.zeros_(model[2].weight)
    return model, torch.randn(32, 8)


class Weighed(nn.Module):
    """Attention pooling: the mean of the steps, weighed by one score each."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.features, self.score, self.head = nn.Linear(8, 16), nn.Linear(16, 1), nn.Linear(16, 3)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.features(x))
        out: Tensor = self.head((h * torch.softmax(self.score(h), self.axis)).sum(1))
        return out


@sound
def attention_pooling() -> Built:
    return Weighed(), torch.randn(32, 6, 8)


@sound
def attention_pooling_of_one_step() -> Built:
    return Weighed(), torch.randn(32, 1, 8)


class Routed(nn.Module):
    """Experts under the best of their probabilities, which may be shared out anew among those that were chosen."""

    def __init__(self, best: int, share: bool) -> None:
        super().__init__()
        self.gate, self.best, self.share = nn.Linear(8, 4, bias=False), best, share
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        weight, index = torch.softmax(self.gate(x), -1).topk(self.best)
        if self.share:
            weight = weight / weight.sum(-1, keepdim=True)
        made = torch.stack([expert(x) for expert in self.experts], 1)
        return (made.gather(1, index.unsqueeze(-1).expand(-1, -1, 8)) * weight.unsqueeze(-1)).sum(1)


@sound
def top_one_of_the_probabilities() -> Built:
    return Routed(best=1, share=False), torch.randn(32, 8)


@sound
def two_best_shared_out_anew() -> Built:
    return Routed(best=2, share=True), torch.randn(32, 8)


class Mixed(nn.Module):
    """Two branches, mixed by a softmax of two scores (selective kernels)."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(8, 16), nn.Linear(8, 16)
        self.one, self.other, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack((torch.tanh(self.left(x)), torch.tanh(self.right(x))))
        total = branches.sum(0)
        out: Tensor = self.head((branches * torch.softmax(torch.stack((self.one(total), self.other(total))), 0)).sum(0))
        return out


@sound
def two_scores_of_two_layers() -> Built:
    return Mixed(), torch.randn(32, 8)


class Queried(nn.Module):
    """Additive attention (Bahdanau et al. 2015)."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.query, self.key, self.score, self.act = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 1), act
        self.head = nn.Linear(8, 3)

    def forward(self, asked: Tensor, x: Tensor) -> Tensor:
        scores = self.score(self.act(self.query(asked).unsqueeze(1) + self.key(x)))
        out: Tensor = self.head((x * torch.softmax(scores, 1)).sum(1))
        return out


@sound
def additive_attention() -> Built:
    return Queried(nn.Tanh()), (torch.randn(32, 8), torch.randn(32, 6, 8))


class Attentive(nn.Module):
    """Attention to a context, or to its mean alone."""

    def __init__(self, summary: bool = False) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.summary = summary

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        context = context.mean(1, keepdim=True) if self.summary else context
        scores = self.query(x) @ self.key(context).transpose(1, 2) / 4
        out: Tensor = self.out(x + torch.softmax(scores, -1) @ self.value(context))
        return out


@sound
def attention_to_the_only_key_of_the_batch() -> Built:
    return Attentive(), (torch.randn(16, 5, 16), torch.randn(16, 1, 16))
