"""Sick models that are causal in name and see the future."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

VOCABULARY = 40


def tokens(steps: int = 16) -> Tensor:
    return torch.randint(VOCABULARY, (8, steps))


class SelfAttention(nn.Module):
    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=self.causal))


class Block(nn.Module):
    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, causal)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Gpt(nn.Module):
    """One of four blocks was built without its mask."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(Block(width, causal=i != 2) for i in range(4))
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@sick("future-leak", "blocks.2")
def one_block_without_its_mask() -> Built:
    return Gpt(), tokens()


class MaskedTooLate(nn.Module):
    """The triangle multiplies the weights after the softmax: the sum behind it knows every step."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        weights = torch.softmax(2 * self.query(x) @ self.key(x).mT, dim=-1).tril()
        return self.head(x + weights @ self.value(x))


@sick("future-leak", "", causal=True)
def mask_after_the_softmax() -> Built:
    return MaskedTooLate(), tokens()


class Shifted(nn.Module):
    """triu(diagonal=2): every step sees the one that it shall predict."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        layer = nn.TransformerEncoderLayer(width, 2, 48, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        steps = ids.shape[1]
        mask = torch.full((steps, steps), float("-inf")).triu(diagonal=2)
        return self.head(self.encoder(self.embed(ids), mask=mask))


@sick("future-leak", "encoder")
def triangle_off_by_one() -> Built:
    return Shifted(), tokens()


class Dilated(nn.Module):
    """WaveNet with padding on both sides."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, width, 1)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 4))
        self.leave = nn.Conv1d(width, 1, 1)

    def forward(self, wave: Tensor) -> Tensor:
        h = self.enter(wave)
        for layer in self.layers:
            h = h + torch.tanh(layer(h))
        return self.leave(h)


@sick("future-leak", "layers.0", causal=True)
def padding_on_both_sides() -> Built:
    return Dilated(), torch.randn(6, 1, 48)


class NormalisedOverTime(nn.Module):
    """Causal attention, and a norm that averages over the steps."""

    def __init__(self, width: int = 24, steps: int = 16) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.block = Block(width, causal=True)
        self.norm = nn.LayerNorm((steps, width))
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.norm(self.block(self.embed(ids))))


@sick("future-leak", "norm")
def norm_over_the_steps() -> Built:
    return NormalisedOverTime(), tokens()


class Tagger(nn.Module):
    """A language model with bidirectional=True."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 16)
        self.rnn = nn.LSTM(16, 12, batch_first=True, bidirectional=True)
        self.head = nn.Linear(24, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(ids))[0])


@sick("future-leak", "rnn", causal=True)
def bidirectional_language_model() -> Built:
    return Tagger(), tokens()


class MeanContext(nn.Module):
    """A forecast that is centred by the mean of the whole series."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, series: Tensor) -> Tensor:
        mean = series.mean(dim=1, keepdim=True)
        return self.head(self.rnn(series - mean)[0]) + mean


@sick("future-leak", "", "rnn", causal=True)
def forecast_centred_by_the_whole_series() -> Built:
    return MeanContext(), torch.randn(8, 20, 3)
