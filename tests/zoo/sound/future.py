"""Sound models about the question who may see the future: causal ones, and others that only look causal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound, sound_if
from tests.zoo.sick.future import VOCABULARY, Block, tokens


class Decoder(nn.Module):
    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(VOCABULARY, width), nn.Embedding(64, width)
        self.blocks = nn.ModuleList(Block(width, causal=True) for _ in range(3))
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.place(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@sound
def causal_decoder() -> Built:
    return Decoder(), tokens()


class Classified(Decoder):
    """Causal blocks, and a verdict on the whole sequence."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids).mean(1)


@sound
def causal_blocks_with_a_verdict_on_all_steps() -> Built:
    return Classified(), tokens()


class Summariser(nn.Module):
    """An encoder that sees everything and a causal decoder, both fed with the same tokens."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.encoder = nn.ModuleList(Block(width, causal=False) for _ in range(2))
        self.decoder = nn.ModuleList(Block(width, causal=True) for _ in range(2))
        self.cross = nn.MultiheadAttention(width, 2, batch_first=True)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        memory = y = self.embed(ids)
        for block in self.encoder:
            memory = block(memory)
        for block in self.decoder:
            y = block(y)
            y = y + self.cross(y, memory, memory)[0]
        return self.head(y)


@sound
def encoder_and_causal_decoder_on_one_input() -> Built:
    return Summariser(), tokens()


class LeftPadded(nn.Module):
    """Dilated convolutions that are padded on the left; as many channels as steps."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**i) for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = x + torch.tanh(layer(F.pad(x, (2**i, 0))))
        return x


@sound_if(causal=True)
def left_padded_convolutions() -> Built:
    return LeftPadded(), torch.randn(6, 24, 24)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(VOCABULARY, 16), nn.GRU(16, 24, num_layers=2, batch_first=True)
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, VOCABULARY)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        states, last = self.rnn(self.embed(ids))
        return self.head(self.norm(states)), last


@sound_if(causal=True)
def recurrent_language_model() -> Built:
    return Recurrent(), tokens()


class Spectral(nn.Module):
    """A long convolution by FFT: causal up to rounding."""

    def __init__(self, width: int = 8, steps: int = 32) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(4, width), nn.Linear(width, 4)
        self.filter = nn.Parameter(torch.randn(width, steps) * torch.exp(-torch.arange(steps) / 4.0))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x).mT
        n = 2 * h.shape[-1]
        mixed = torch.fft.irfft(torch.fft.rfft(h, n) * torch.fft.rfft(self.filter[:, : n // 2], n), n)[..., : h.shape[-1]]
        return self.leave(F.gelu(mixed + h).mT)


@sound_if(causal=True)
def long_convolution_by_fft() -> Built:
    return Spectral(), torch.randn(8, 32, 4)


class MaskedLanguage(nn.Module):
    """Bidirectional on purpose."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(Block(width, causal=False) for _ in range(2))
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@sound
def masked_language_model() -> Built:
    return MaskedLanguage(), tokens()


class SideBySide(nn.Module):
    """Causal attention and linear attention over all steps, one behind the other along the steps; 20 features."""

    def __init__(self, width: int = 20) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        near = (q @ k.mT / x.shape[-1] ** 0.5).masked_fill(later, float("-inf")).softmax(-1) @ v
        far = q.softmax(-1) @ (k.softmax(1).mT @ v)
        return self.out(torch.cat([near, far], 1))


@sound
def causal_and_linear_attention_one_behind_the_other() -> Built:
    return SideBySide(), torch.randn(8, 9, 20)


class WithScores(nn.Module):
    """Causal attention that returns its scores from before the mask, too."""

    def __init__(self, width: int = 20) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.q(x) @ self.k(x).mT / x.shape[-1] ** 0.5
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return scores.masked_fill(later, float("-inf")).softmax(-1) @ self.v(x), scores


@sound
def causal_attention_that_returns_its_scores() -> Built:
    return WithScores(), torch.randn(8, 9, 20)
