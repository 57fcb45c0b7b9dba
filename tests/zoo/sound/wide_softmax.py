"""Sound models that seem to lose their gradient: a flat softmax over very many entries, adapters on a frozen stream."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class Classes(nn.Module):
    """Probabilities of ten thousand classes, under a learnt scale."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body, self.scale = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, classes)), nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.softmax(self.body(x), -1) * self.scale
        return out


@sound
def probabilities_of_ten_thousand_classes() -> Built:
    return Classes(10_000), torch.randn(32, 32)


class HeatMap(nn.Module):
    """A picture that sums to one."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return torch.softmax(scores.flatten(1), -1).view_as(scores)


@sound
def heat_map_that_sums_to_one() -> Built:
    return HeatMap(), torch.randn(8, 3, 96, 96)


class Adapter(nn.Module):
    """A frozen layer with a correction of low rank that starts at zero (LoRA)."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down, self.up = nn.Linear(base.in_features, 4, bias=False), nn.Linear(4, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x) + 2.0 * self.up(self.down(x))
        return out


class Layer(nn.Module):
    """Attention and a wider layer, each normalised behind its sum (BERT)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / x.shape[-1] ** 0.5
        x = self.one(x + self.out(torch.softmax(scores, -1) @ self.value(x)))
        out: Tensor = self.two(x + self.narrow(F.gelu(self.wide(x))))
        return out


class Tuned(nn.Module):
    """A small frozen BERT with adapters on queries and values, and a head."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embed, self.norm, self.pool = nn.Embedding(100, width), nn.LayerNorm(width), nn.Linear(width, width)
        self.layers, self.head = nn.ModuleList(Layer(width) for _ in range(depth)), nn.Linear(width, 2)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        self.requires_grad_(False)
        self.head.requires_grad_(True)
        for layer in self.layers:
            layer.query, layer.value = Adapter(layer.query), Adapter(layer.value)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(self.embed(ids))
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.head(torch.tanh(self.pool(x[:, 0])))
        return out


@sound
def adapters_on_a_small_frozen_bert() -> Built:
    return Tuned(32, 2), torch.randint(0, 100, (16, 12))


@sound
def adapters_on_a_deeper_frozen_bert() -> Built:
    return Tuned(64, 5), torch.randint(0, 100, (16, 12))


class ShakeFunction(torch.autograd.Function):
    """Another random gate on the way back, by design (Gastaldi 2017)."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        gate = torch.rand(len(a), 1)
        return a * gate + b * (1 - gate)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        gate = torch.rand(len(slopes[0]), 1)
        return slopes[0] * gate, slopes[0] * (1 - gate)


class Shaken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.relu(self.a(x)), torch.relu(self.b(x))
        out: Tensor = ShakeFunction.apply(a, b) if self.training else (a + b) / 2  # type: ignore[no-untyped-call]
        return out


@sound
def shake_shake() -> Built:
    return Shaken(), torch.randn(32, 8)
