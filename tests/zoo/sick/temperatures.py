"""Sick models whose softmax is so cold that all but one of its probabilities underflow: no mask has written those zeros."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

RULE = "saturated-activation"


class Prototypes(nn.Module):
    """Cosines to learnt prototypes, divided by a temperature."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.encoder, self.value = nn.Linear(16, 32), nn.Linear(7, 3)
        self.prototypes = nn.Parameter(torch.randn(7, 32))
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        cosines = F.normalize(self.encoder(x), dim=-1) @ F.normalize(self.prototypes, dim=-1).T
        return self.value((cosines / self.temperature).softmax(-1))


@sick(RULE, "encoder", "prototypes", "", also={"zero-gradient": "float64 knows a far smaller one"})
def prototypes_at_a_thousandth() -> Built:
    return Prototypes(1e-3), torch.randn(16, 16)


@sick(RULE, "encoder", "prototypes", "", also={"zero-gradient": "not one probability moves"})
def prototypes_at_a_ten_thousandth() -> Built:
    return Prototypes(1e-4), torch.randn(16, 16)


class Attention(nn.Module):
    """Fused, with the scale of a temperature instead of 1 / sqrt(d)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(24, 72), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(q, k, v, scale=200.0).mean(1))


@sick(RULE, "qkv", "")
def fused_attention_scaled_by_two_hundred() -> Built:
    return Attention(), torch.randn(8, 6, 24)


class Memory(nn.Module):
    """Slots read by their negative squared distance in pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.head = nn.Linear(12, 2), nn.Linear(8, 4)
        self.where, self.what = nn.Parameter(100 * torch.rand(10, 2)), nn.Parameter(torch.randn(10, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.head((-(torch.cdist(50 + 20 * self.query(x), self.where) ** 2)).softmax(-1) @ self.what)


@sick(RULE, "query", "where", "")
def memory_read_by_squared_pixels() -> Built:
    return Memory(), torch.randn(24, 12)
