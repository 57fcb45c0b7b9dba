"""Sound models that read one way, or both: decoders, and readers of either direction."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound, sound_if


def tokens() -> Tensor:
    return torch.randint(0, 50, (8, 16))


class Reader(nn.Module):
    """Two layers of attention that look at earlier steps, at later ones, or at one each."""

    def __init__(self, way: str, fused: bool = False) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(50, 32), nn.Parameter(0.1 * torch.randn(16, 32))
        self.parts, self.out = nn.ModuleList(nn.Linear(32, 96) for _ in range(2)), nn.Linear(32, 50)
        self.ways, self.fused = {"both": ("earlier", "later")}.get(way, (way, way)), fused

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.place
        for way, part in zip(self.ways, self.parts, strict=True):
            query, key, value = part(x).chunk(3, -1)
            every = torch.ones(16, 16, dtype=torch.bool)
            keep = every.tril() if way == "earlier" else every.triu()
            if self.fused:
                x = x + F.scaled_dot_product_attention(query, key, value, attn_mask=keep)
            else:
                scores = (query @ key.transpose(1, 2) / 32**0.5).masked_fill(~keep, -1e9)
                x = x + torch.softmax(scores, -1) @ value
        out: Tensor = self.out(x)
        return out


class Stacked(nn.Module):
    """torch's own layers under a mask."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(50, 32), nn.Linear(32, 50)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True) for _ in range(2))
        self.register_buffer("mask", mask)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, self.mask)
        out: Tensor = self.out(x)
        return out


@sound
def decoder_of_scores() -> Built:
    return Reader("earlier"), tokens()


@sound
def reads_earlier_steps_and_then_later_ones() -> Built:
    return Reader("both"), tokens()


@sound_if(causal=False)
def reads_backwards_on_purpose() -> Built:
    return Reader("later"), tokens()


@sound
def decoder_of_torchs_own_layers() -> Built:
    return Stacked(torch.ones(16, 16, dtype=torch.bool).triu(1)), tokens()
