"""Sound models that tune a frozen network through a path that begins at zero."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class LoRALinear(nn.Module):
    """A frozen weight and a low-rank update B A, B = 0 (Hu et al. 2021)."""

    def __init__(self, frozen: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.empty(rank, frozen.in_features))
        self.lora_b = nn.Parameter(torch.zeros(frozen.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + 2.0 * (x @ self.lora_a.T) @ self.lora_b.T


@sound
def lora() -> Built:
    blocks = [nn.Sequential(LoRALinear(nn.Linear(32, 32)), nn.ReLU()) for _ in range(3)]
    return nn.Sequential(*blocks, nn.Linear(32, 5).requires_grad_(False)), torch.randn(16, 32)


class Adapter(nn.Module):
    """A bottleneck with a near-identity start behind a frozen block (Houlsby et al. 2019)."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU()).requires_grad_(False)
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = x + self.block(x)
        return h + self.up(F.gelu(self.down(h)))


@sound
def adapters() -> Built:
    return nn.Sequential(*(Adapter(32, 8) for _ in range(4)), nn.Linear(32, 3)), torch.randn(16, 32)


class ControlNet(nn.Module):
    """A frozen network and a trainable copy that enters through zero convolutions (Zhang et al. 2023)."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1).requires_grad_(False)
        self.frozen = nn.ModuleList(self.block(width).requires_grad_(False) for _ in range(depth))
        self.copy = nn.ModuleList(self.block(width) for _ in range(depth))
        self.copy.load_state_dict(self.frozen.state_dict())
        self.enter = self.zero(3, width)
        self.leave = nn.ModuleList(self.zero(width, width) for _ in range(depth))
        self.head = nn.Conv2d(width, 3, 3, padding=1).requires_grad_(False)

    @staticmethod
    def block(width: int) -> nn.Module:
        return nn.Sequential(nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))

    @staticmethod
    def zero(inside: int, outside: int) -> nn.Conv2d:
        layer = nn.Conv2d(inside, outside, 1)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    def forward(self, x: Tensor, hint: Tensor) -> Tensor:
        h = self.stem(x)
        control = h + self.enter(hint)
        for frozen, copy, leave in zip(self.frozen, self.copy, self.leave, strict=True):
            control = control + copy(control)
            h = h + frozen(h) + leave(control)
        return self.head(h)


@sound
def controlnet() -> Built:
    return ControlNet(), (torch.randn(8, 3, 12, 12), torch.randn(8, 3, 12, 12))
