"""Sound models of tables, time series and recommendations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class Splines(nn.Module):
    """A layer of a Kolmogorov-Arnold network with radial bases."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.register_buffer("grid", torch.linspace(-2, 2, 8))
        self.norm = nn.LayerNorm(wide)
        self.spline, self.base = nn.Linear(8 * wide, narrow, bias=False), nn.Linear(wide, narrow)
        nn.init.trunc_normal_(self.spline.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        bases = torch.exp(-(((self.norm(x).unsqueeze(-1) - self.grid) / 0.57) ** 2))
        return self.spline(bases.flatten(1)) + self.base(F.silu(x))


@sound
def kolmogorov_arnold() -> Built:
    return nn.Sequential(Splines(6, 16), Splines(16, 16), Splines(16, 1)), torch.randn(64, 6)


class Crossed(nn.Module):
    """Deep and cross: products with the input beside an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, 8) for n in (20, 30, 7))
        self.cross = nn.ModuleList(nn.Linear(28, 28) for _ in range(3))
        self.deep = nn.Sequential(nn.Linear(28, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        self.out = nn.Linear(44, 1)

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        first = torch.cat([*(table(categories[:, i]) for i, table in enumerate(self.tables)), numbers], dim=1)
        x = first
        for layer in self.cross:
            x = first * layer(x) + x
        return self.out(torch.cat([x, self.deep(first)], dim=1)).squeeze(1)


@sound
def deep_and_cross() -> Built:
    categories = torch.stack([torch.randint(0, n, (64,)) for n in (20, 30, 7)], dim=1)
    return Crossed(), (categories, torch.randn(64, 4))


class Factorised(nn.Module):
    """A factorisation machine beside a deep net (DeepFM)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.bias = nn.Embedding(50, 1), nn.Embedding(50, 8), nn.Parameter(torch.zeros(1))
        for table in (self.first, self.second):
            nn.init.xavier_uniform_(table.weight)
        self.deep = nn.Sequential(nn.Linear(5 * 8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1))

    def forward(self, ids: Tensor) -> Tensor:
        e = self.second(ids)
        pairs = 0.5 * (e.sum(1) ** 2 - (e**2).sum(1)).sum(1)
        return torch.sigmoid(self.bias + self.first(ids).sum((1, 2)) + pairs + self.deep(e.flatten(1)).squeeze(1))


@sound
def factorisation_machine() -> Built:
    return Factorised(), torch.randint(0, 50, (64, 5))


class Tokenised(nn.Module):
    """Each number of a table as a token, and a class token (FT-Transformer)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(6, 24) * 0.2), nn.Parameter(torch.zeros(6, 24))
        self.token = nn.Parameter(torch.zeros(1, 1, 24))
        self.body = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(24, 4, 48, 0.1, batch_first=True, norm_first=True), 3, enable_nested_tensor=False
        )
        self.head = nn.Sequential(nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, 2))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.unsqueeze(-1) * self.weight + self.bias
        return self.head(self.body(torch.cat([self.token.expand(len(x), 1, 24), tokens], dim=1))[:, 0])


@sound
def numbers_as_tokens() -> Built:
    return Tokenised(), torch.randn(64, 6)


class Forest(nn.Module):
    """Soft oblivious trees: every path is a product of sigmoids (NODE with a soft split)."""

    def __init__(self) -> None:
        super().__init__()
        self.choose, self.threshold = nn.Parameter(torch.rand(8, 16, 3)), nn.Parameter(torch.randn(16, 3))
        self.leaves = nn.Parameter(torch.randn(16, 8, 2))
        bits = torch.tensor([[(i >> d) & 1 for d in range(3)] for i in range(8)]).bool()
        self.register_buffer("bits", bits)

    def forward(self, x: Tensor) -> Tensor:
        feature = torch.einsum("bf,ftd->btd", x, F.softmax(self.choose, dim=0))
        right = torch.sigmoid(feature - self.threshold).unsqueeze(2)
        weight = torch.where(self.bits, right, 1 - right).prod(-1)
        return torch.einsum("btl,tlo->bo", weight, self.leaves)


@sound
def forest_of_soft_trees() -> Built:
    return Forest(), torch.randn(64, 8)


class Stacks(nn.Module):
    """Blocks that subtract what they explain and add what they foretell; the last one only foretells (N-BEATS)."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (30, 30, 30, 6)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, size)) for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        forecast = torch.zeros(len(x), 6)
        for block in self.blocks[:-1]:
            back, ahead = block(x).split([24, 6], dim=1)
            x, forecast = x - back, forecast + ahead
        return forecast + self.blocks[-1](x)


@sound
def blocks_that_explain_and_foretell() -> Built:
    return Stacks(), torch.randn(64, 24)


class Likelihood(nn.Module):
    """A mean and a scale at every step, and the likelihood of the next value (DeepAR)."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.mean, self.scale = nn.LSTM(1, 24, 2, batch_first=True), nn.Linear(24, 1), nn.Linear(24, 1)

    def forward(self, series: Tensor) -> Tensor:
        h, _ = self.rnn(series[:, :-1, None])
        mean, scale = self.mean(h).squeeze(2), F.softplus(self.scale(h)).squeeze(2) + 1e-3
        return -torch.distributions.Normal(mean, scale).log_prob(series[:, 1:]).mean()


@sound
def likelihood_of_the_next_value() -> Built:
    return Likelihood(), torch.randn(32, 25).cumsum(1) * 0.2


class Decomposed(nn.Module):
    """A moving average and what it leaves, each through one matrix (DLinear)."""

    def __init__(self) -> None:
        super().__init__()
        self.average, self.trend, self.rest = nn.AvgPool1d(5, 1, 2), nn.Linear(30, 8), nn.Linear(30, 8)

    def forward(self, x: Tensor) -> Tensor:
        trend = self.average(x)
        return self.trend(trend) + self.rest(x - trend)


@sound
def trend_and_rest() -> Built:
    return Decomposed(), torch.randn(32, 3, 30)


class Basket(nn.Module):
    """The next item of a basket: masked self-attention and the dot product with every item (SASRec)."""

    def __init__(self) -> None:
        super().__init__()
        self.items, self.positions = nn.Embedding(80, 24, padding_idx=0), nn.Embedding(10, 24)
        self.block = nn.TransformerEncoderLayer(24, 2, 24, 0.2, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(24)
        nn.init.normal_(self.items.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        steps = ids.shape[1]
        mask = torch.triu(torch.ones(steps, steps, dtype=torch.bool), 1)
        h = self.norm(self.block(self.items(ids) * 24**0.5 + self.positions(torch.arange(steps)), src_mask=mask))
        return h @ self.items.weight.T


@sound
def next_item_of_a_basket() -> Built:
    return Basket(), torch.randint(1, 80, (16, 10))


class Sparse(nn.Module):
    """Attentive masks by sparsemax over features, step after step (TabNet, shortened)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(10)
        self.shared = nn.Linear(10, 16)
        self.attend = nn.ModuleList(nn.Sequential(nn.Linear(8, 10), nn.BatchNorm1d(10)) for _ in range(3))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        prior, total = torch.ones_like(x), torch.zeros(len(x), 8)
        decision, attention = self.shared(x).chunk(2, dim=1)
        for attend in self.attend:
            mask = sparsemax(attend(attention) * prior)
            prior = prior * (1.3 - mask)
            decision, attention = self.shared(mask * x).chunk(2, dim=1)
            total = total + torch.relu(decision)
        return self.head(total)


def sparsemax(z: Tensor) -> Tensor:
    """Projection onto the simplex, row by row (Martins and Astudillo 2016)."""
    ordered, _ = z.sort(1, descending=True)
    sums, k = ordered.cumsum(1), torch.arange(1, z.shape[1] + 1)
    size = (1 + k * ordered > sums).sum(1, keepdim=True)
    return torch.clamp(z - (sums.gather(1, size - 1) - 1) / size, min=0)


@sound
def features_chosen_by_sparsemax() -> Built:
    return Sparse(), torch.randn(64, 10)
