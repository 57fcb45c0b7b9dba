"""One weight makes several things, and one of them is cut off: its rows never get a gradient, the others do."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick


class Causal(nn.Module):
    """Queries, keys and values out of one layer; the weights of the attention are detached."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.c_attn(x).split(x.shape[-1], -1))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        out: Tensor = self.c_proj((weights.detach() @ v).transpose(1, 2).flatten(2))
        return out


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(40, 32), nn.Linear(32, 40)
        self.attention = nn.ModuleList([Causal(32, 4) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(32) for _ in range(2)])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        for norm, attention in zip(self.norms, self.attention, strict=True):
            x = x + attention(norm(x))
        out: Tensor = self.head(x)
        return out


@sick("cut-gradient", "attention.0.c_attn", "attention.1.c_attn")
def detached_attention_of_a_fused_projection() -> Built:
    return Decoder(), torch.randint(0, 40, (8, 12))


class Interleaved(nn.Module):
    """The three of each head lie side by side; the queries are computed where gradients are off."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(24, 72), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 3, 8)).transpose(1, 2).unbind(-2)
        with torch.no_grad():
            q = q / q.norm(dim=-1, keepdim=True)
        heads = nn.functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2).mean(1))
        return out


@sick("cut-gradient", "qkv")
def queries_without_a_graph_in_interleaved_heads() -> Built:
    return Interleaved(), torch.randn(16, 6, 24)


class Gated(nn.Module):
    """A gate beside the values, in a weight that is stored the other way round; the gate goes through .data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, 40) / math.sqrt(12))
        self.head = nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = (x @ self.weight).chunk(2, -1)
        out: Tensor = self.head(value * torch.sigmoid(gate).data)
        return out


@sick("cut-gradient", "weight")
def gate_of_a_fused_weight_through_data() -> Built:
    return Gated(), torch.randn(32, 12)


class Offsets(nn.Module):
    """Offsets and features of one convolution; the offsets are detached before they move anything."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Conv2d(3, 16, 3, padding=1)
        self.head = nn.Conv2d(12, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        features, offsets = self.both(x).split([12, 4], 1)
        moved = features * (1 + offsets.detach().mean(1, keepdim=True))
        out: Tensor = self.head(torch.tanh(moved)).mean((2, 3))
        return out


@sick("cut-gradient", "both")
def offsets_of_one_convolution_detached() -> Built:
    return Offsets(), torch.randn(8, 3, 8, 8)
