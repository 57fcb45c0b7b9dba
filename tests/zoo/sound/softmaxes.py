"""Sound models with several softmaxes and sigmoids, each in its right place."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class AttentionPooling(nn.Module):
    """A softmax over the tokens, and logits for the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(12, 1)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        weights = self.score(x).softmax(1)
        return F.cross_entropy(self.head((weights * x).sum(1)), y)


@sound
def attention_pooling_and_cross_entropy() -> Built:
    return AttentionPooling(), (torch.randn(32, 7, 12), torch.arange(32) % 4)


class CausalAttention(nn.Module):
    """Written out, with a mask: the first row of every map has one entry, and every map has the same number of rows."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.embed = heads, nn.Embedding(100, width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.head = nn.Linear(width, 100)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        batch, steps, width = x.shape
        q, k, v = (f(x).view(batch, steps, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        later = torch.ones(steps, steps, dtype=torch.bool).triu(1)
        scores = (q @ k.mT / (width // self.heads) ** 0.5).masked_fill(later, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, steps, width)
        return self.head(x + self.out(mixed))


@sound
def causal_attention_over_many_sequences() -> Built:
    return CausalAttention(), torch.randint(100, (64, 8))


class LogProbabilities(nn.Module):
    """log_softmax and nll_loss, and a Categorical of the same log-probabilities for the entropy."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 24), nn.Tanh(), nn.Linear(24, 5), nn.LogSoftmax(dim=-1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        log_p = self.net(x)
        return F.nll_loss(log_p, y) - 0.01 * torch.distributions.Categorical(logits=log_p).entropy().mean()


@sound
def log_softmax_and_nll() -> Built:
    return LogProbabilities(), (torch.randn(40, 10), torch.arange(40) % 5)


class Distilled(nn.Module):
    """Three softmaxes side by side: labels, soft targets of a frozen teacher, and an entropy."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(10, 5)
        self.teacher = nn.Linear(10, 5).requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        logits = self.student(x)
        soft = F.kl_div(F.log_softmax(logits / 2, -1), F.softmax(self.teacher(x) / 2, -1), reduction="batchmean")
        p = logits.softmax(-1)
        return F.cross_entropy(logits, y) + soft + 0.01 * (p * p.clamp_min(1e-9).log()).sum(-1).mean()


@sound
def distillation_with_three_softmaxes() -> Built:
    return Distilled(), (torch.randn(40, 10), torch.arange(40) % 5)


class DualSoftmax(nn.Module):
    """Matches two sets: softmax over rows, then over columns."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(8, 16), nn.Linear(8, 16)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        similarity = self.left(a) @ self.right(b).transpose(1, 2)
        return similarity.softmax(1).softmax(2) * similarity.softmax(2)


@sound
def softmax_over_rows_and_columns() -> Built:
    return DualSoftmax(), (torch.randn(16, 6, 8), torch.randn(16, 6, 8))


class Bounded(nn.Module):
    """Logits kept between -10 and 10 by a scaled sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(10, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(20 * torch.sigmoid(self.net(x)) - 10, y)


@sound
def scaled_sigmoid_as_logits() -> Built:
    return Bounded(), (torch.randn(40, 10), torch.arange(40) % 4)


class Gated(nn.Module):
    """A sigmoid gate, a softmax router and Gumbel noise on log-probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate, self.router = nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        choice = F.gumbel_softmax(F.log_softmax(self.router(x), -1), tau=1.0)
        return torch.sigmoid(self.gate(x)) * self.value(x) + choice


@sound
def gates_and_gumbel() -> Built:
    return Gated(), torch.randn(64, 8)


class Narrow(nn.Module):
    """A projection and a learnt scale, without dividing by a deviation (MobileBERT's NoNorm)."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.dense = nn.Linear(wide, narrow, bias=False)
        self.weight, self.bias = nn.Parameter(torch.ones(narrow)), nn.Parameter(torch.zeros(narrow))
        nn.init.normal_(self.dense.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x) * self.weight + self.bias


class ScoresFromAside(nn.Module):
    """Queries and keys share a bottleneck of their own, beside that of the stream: flat scores hardly move the output."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.stream = Narrow(32, 16), Narrow(32, 16)
        self.queries, self.keys = (nn.Linear(16, 16, bias=False) for _ in range(2))
        self.values, self.out = nn.Linear(32, 16), nn.Linear(16, 8)
        for layer in (self.queries, self.keys):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        aside = self.scores(x)
        weights = (self.queries(aside) @ self.keys(aside).transpose(1, 2) / 4).softmax(-1)
        return self.out(weights @ self.values(x) + self.stream(x))


@sound
def queries_and_keys_from_a_bottleneck_of_their_own() -> Built:
    return ScoresFromAside(), torch.randn(16, 10, 32)
