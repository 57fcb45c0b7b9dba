"""Sound models of sequences, as papers and libraries write them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class LinearAttention(nn.Module):
    """elu + 1 as the feature map (Katharopoulos et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.norm = nn.Linear(32, 96), nn.Linear(32, 32), nn.LayerNorm(32)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        context = k.transpose(1, 2) @ v
        return x + self.out((q @ context) / (q @ k.sum(1).unsqueeze(2)))


@sound
def linear_attention() -> Built:
    return nn.Sequential(nn.Linear(8, 32), LinearAttention(), LinearAttention(), nn.Linear(32, 4)), torch.randn(8, 10, 8)


class Rotary(nn.Module):
    """A decoder block with rotary positions, grouped queries, RMS norms and a gated MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.norm1, self.norm2 = nn.Embedding(60, 32), nn.RMSNorm(32), nn.RMSNorm(32)
        self.q, self.kv, self.out = nn.Linear(32, 32, bias=False), nn.Linear(32, 16, bias=False), nn.Linear(32, 32, bias=False)
        self.gate, self.up, self.down = nn.Linear(32, 64), nn.Linear(32, 64), nn.Linear(64, 32)
        self.head = nn.Linear(32, 60, bias=False)

    def rotate(self, x: Tensor) -> Tensor:
        steps, half = x.shape[2], x.shape[3] // 2
        angle = torch.arange(steps).unsqueeze(1) / 10000 ** (torch.arange(half) / half)
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], dim=-1)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids)
        h, (batch, steps, _) = self.norm1(x), x.shape
        q = self.rotate(self.q(h).view(batch, steps, 4, 8).transpose(1, 2))
        k, v = (t.view(batch, steps, 1, 8).transpose(1, 2).expand(-1, 4, -1, -1) for t in self.kv(h).chunk(2, dim=-1))
        y = F.scaled_dot_product_attention(q, self.rotate(k), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        h = self.norm2(x)
        return self.head(x + self.down(F.silu(self.gate(h)) * self.up(h)))


@sound
def rotary_decoder_with_grouped_queries() -> Built:
    return Rotary(), torch.randint(0, 60, (8, 12))


class Reversible(nn.Module):
    """Two streams that update each other (Reformer)."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.ModuleList(nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.GELU()) for _ in range(4))
        self.g = nn.ModuleList(nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.GELU()) for _ in range(4))
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        for f, g in zip(self.f, self.g, strict=True):
            a = a + f(b)
            b = b + g(a)
        return self.head(torch.cat([a, b], dim=-1))


@sound
def reversible_streams() -> Built:
    return Reversible(), torch.randn(8, 6, 32)


class Temporal(nn.Module):
    """A temporal convolutional network: dilated, causal, with weight norm and skips (Bai et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.convs = nn.ModuleList(norm(nn.Conv1d(16, 16, 3, dilation=2**i)) for i in range(4))
        self.enter, self.head = nn.Conv1d(2, 16, 1), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for i, conv in enumerate(self.convs):
            h = torch.relu(h + torch.relu(conv(F.pad(h, (2 * 2**i, 0)))))
        return self.head(h[:, :, -1])


@sound
def temporal_convolutions() -> Built:
    return Temporal(), torch.randn(8, 2, 64)


class Diagonal(nn.Module):
    """A diagonal state space layer, complex, as a long convolution (S4D)."""

    def __init__(self) -> None:
        super().__init__()
        self.log_dt = nn.Parameter(torch.rand(16) * (math.log(0.1) - math.log(0.001)) + math.log(0.001))
        self.log_a_real = nn.Parameter(torch.log(0.5 * torch.ones(16, 8)))
        self.a_imag = nn.Parameter(math.pi * torch.arange(8).float().repeat(16, 1))
        self.c, self.d = nn.Parameter(torch.randn(16, 8, 2)), nn.Parameter(torch.randn(16))
        self.out = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[1]
        a = -self.log_a_real.exp() + 1j * self.a_imag
        dt = self.log_dt.exp().unsqueeze(1)
        kernel = (a * dt).unsqueeze(-1) * torch.arange(steps)
        c = torch.view_as_complex(self.c) * ((a * dt).exp() - 1) / a
        k = 2 * torch.einsum("hn,hnl->hl", c, kernel.exp()).real
        u = x.transpose(1, 2)
        y = torch.fft.irfft(torch.fft.rfft(u, 2 * steps) * torch.fft.rfft(k, 2 * steps), 2 * steps)[..., :steps]
        return x + self.out(F.gelu(y + u * self.d.unsqueeze(1)).transpose(1, 2))


@sound
def diagonal_state_spaces() -> Built:
    return nn.Sequential(nn.Linear(3, 16), Diagonal(), Diagonal(), nn.Linear(16, 2)), torch.randn(8, 40, 3)


class Retention(nn.Module):
    """Retention: dot products that decay with the distance, group norm, a swish gate."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.gate, self.out = (nn.Linear(32, 32, bias=False) for _ in range(5))
        self.norm = nn.GroupNorm(4, 32)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, _ = x.shape
        q, k, v = (f(x).view(batch, steps, 4, 8).transpose(1, 2) for f in (self.q, self.k, self.v))
        gamma = 1 - 2.0 ** (-5 - torch.arange(4).float())
        distance = torch.arange(steps).unsqueeze(1) - torch.arange(steps)
        decay = torch.where(distance >= 0, gamma.view(4, 1, 1) ** distance.clamp(min=0), 0.0)
        y = ((q @ k.transpose(2, 3) / math.sqrt(8)) * decay) @ v
        y = self.norm(y.transpose(1, 2).reshape(batch * steps, 32)).view(batch, steps, 32)
        return x + self.out(F.silu(self.gate(x)) * y)


@sound
def retention() -> Built:
    return nn.Sequential(nn.Embedding(40, 32), Retention(), Retention(), nn.Linear(32, 40)), torch.randint(0, 40, (8, 10))


class Translator(nn.Module):
    """A bidirectional GRU, additive attention and a GRU that is fed its targets (Bahdanau et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(40, 16), nn.Embedding(30, 16)
        self.encoder, self.bridge = nn.GRU(16, 16, batch_first=True, bidirectional=True), nn.Linear(32, 16)
        self.query, self.key, self.score = nn.Linear(16, 16), nn.Linear(32, 16), nn.Linear(16, 1, bias=False)
        self.cell, self.out = nn.GRUCell(48, 16), nn.Linear(16, 30)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, state = self.encoder(self.source(source))
        h, keys = torch.tanh(self.bridge(state.transpose(0, 1).flatten(1))), self.key(memory)
        logits = []
        for t in range(target.shape[1]):
            weights = F.softmax(self.score(torch.tanh(keys + self.query(h).unsqueeze(1))).squeeze(2), dim=1)
            context = (weights.unsqueeze(1) @ memory).squeeze(1)
            h = self.cell(torch.cat([self.target(target[:, t]), context], dim=1), h)
            logits.append(self.out(h))
        return torch.stack(logits, dim=1)


@sound
def attention_over_a_bidirectional_encoder() -> Built:
    return Translator(), (torch.randint(0, 40, (8, 9)), torch.randint(0, 30, (8, 7)))


class Conformer(nn.Module):
    """Half a feed-forward, attention, a gated convolution, half a feed-forward (Gulati et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.ff1, self.ff2 = (
            nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 48), nn.SiLU(), nn.Linear(48, 24)) for _ in range(2)
        )
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(24), nn.LayerNorm(24), nn.LayerNorm(24)
        self.attention = nn.MultiheadAttention(24, 4, batch_first=True)
        self.pointwise, self.depthwise = nn.Conv1d(24, 48, 1), nn.Conv1d(24, 24, 5, padding=2, groups=24)
        self.batch_norm, self.mix = nn.BatchNorm1d(24), nn.Conv1d(24, 24, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.ff1(x)
        h = self.norm1(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        h = self.depthwise(F.glu(self.pointwise(self.norm2(x).transpose(1, 2)), dim=1))
        x = x + self.mix(F.silu(self.batch_norm(h))).transpose(1, 2)
        return self.norm3(x + 0.5 * self.ff2(x))


@sound
def conformer() -> Built:
    return nn.Sequential(nn.Linear(20, 24), Conformer(), Conformer(), nn.Linear(24, 10)), torch.randn(8, 16, 20)


class ConvLSTM(nn.Module):
    """A recurrence over frames whose gates are convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.out = nn.Conv2d(1 + 8, 32, 3, padding=1), nn.Conv2d(8, 1, 1)

    def forward(self, frames: Tensor) -> Tensor:
        batch, steps, _, height, width = frames.shape
        h = c = frames.new_zeros(batch, 8, height, width)
        for t in range(steps):
            i, f, o, g = self.gates(torch.cat([frames[:, t], h], dim=1)).chunk(4, dim=1)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.out(h)


@sound
def convolutional_lstm() -> Built:
    return ConvLSTM(), torch.randn(8, 6, 1, 8, 8)
