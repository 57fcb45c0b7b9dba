"""Designs whose gradient dies or explodes with depth, and networks in the standard parametrisation and in muP."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gradcheck_health import Training

WIDTH = 64
Factory = Callable[[int], nn.Module]


def plain(activation: Callable[[], nn.Module], gain: float | None = None, bias: bool = True) -> Factory:
    """Linear layers; weights of variance gain / width, or torch's own."""

    def linear() -> nn.Linear:
        layer = nn.Linear(WIDTH, WIDTH, bias=bias)
        if gain is not None:
            nn.init.normal_(layer.weight, std=math.sqrt(gain / WIDTH))
        return layer

    def build(depth: int) -> nn.Module:
        return nn.Sequential(*(one for _ in range(depth) for one in (linear(), activation())), nn.Linear(WIDTH, 8))

    return build


def convolutions(activation: Callable[[], nn.Module]) -> Factory:
    def build(depth: int) -> nn.Module:
        blocks = [one for _ in range(depth) for one in (nn.Conv2d(16, 16, 3, padding=1), activation())]
        return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 8))

    return build


class Branch(nn.Module):
    """An unnormalised residual block at He initialisation: the squared gradient doubles."""

    def __init__(self) -> None:
        super().__init__()
        self.rise, self.fall = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        nn.init.normal_(self.rise.weight, std=math.sqrt(2 / WIDTH))
        nn.init.normal_(self.fall.weight, std=math.sqrt(1 / WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fall(torch.relu(self.rise(x)))  # type: ignore[no-any-return]


def residual(depth: int) -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), *(Branch() for _ in range(depth)), nn.Linear(WIDTH, 8))


class Recurrent(nn.Module):
    """Recurrent layers over each other, read at the last step."""

    def __init__(self, kind: Any, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(kind(WIDTH, WIDTH, batch_first=True) for _ in range(depth))
        self.head = nn.Linear(WIDTH, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)[0]
        return self.head(x)  # type: ignore[no-any-return]


class NoSkip(nn.Module):
    """A transformer's two sublayers without their skip connections and norms."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.rise, self.fall = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fall(nn.functional.gelu(self.rise(x + self.attention(x, x, x)[0])))  # type: ignore[no-any-return]


def no_skip(depth: int) -> nn.Module:
    return nn.Sequential(nn.Linear(16, WIDTH), *(NoSkip() for _ in range(depth)), nn.Linear(WIDTH, 8))


DEPTHS: Mapping[str, tuple[Factory, tuple[int, ...], str | None]] = {
    "ReLU, torch's initialisation": (plain(nn.ReLU), (2, 4, 6), None),
    "ReLU, Xavier": (plain(nn.ReLU, 1.0, bias=False), (4, 8, 12), None),
    "LeakyReLU(0.2), torch's initialisation": (plain(lambda: nn.LeakyReLU(0.2)), (2, 4, 6), None),
    "tanh, torch's initialisation": (plain(nn.Tanh), (3, 6, 9), None),
    "tanh, variance 6 / width": (plain(nn.Tanh, 6.0), (8, 16, 24), None),
    "sigmoid, Xavier": (plain(nn.Sigmoid, 1.0), (1, 2, 3), None),
    "GELU, torch's initialisation": (plain(nn.GELU), (2, 4, 6), None),
    "SiLU, Xavier": (plain(nn.SiLU, 1.0, bias=False), (2, 4, 6), None),
    "convolutions, ReLU": (convolutions(nn.ReLU), (2, 4, 6), None),
    "convolutions, tanh": (convolutions(nn.Tanh), (3, 6, 9), None),
    "residual without norm, He": (residual, (4, 8, 12), None),
    "stacked RNN": (lambda depth: Recurrent(nn.RNN, depth), (2, 4, 6), "f32[B,6,64]"),
    "stacked GRU": (lambda depth: Recurrent(nn.GRU, depth), (2, 4, 6), "f32[B,6,64]"),
    "transformer without outer skips": (no_skip, (2, 4, 6), "f32[B,8,16]"),
}
"""Name -> (factory, depths to fit, the input where it must be said)."""

ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU)


class Net(nn.Module):
    """A perceptron whose output may be scaled by 1 / width."""

    def __init__(self, width: int, hidden: int, activation: Callable[[], nn.Module], mup: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(24, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(hidden))
        self.act = activation()
        self.head = nn.Linear(width, 6, bias=False)
        if mup:
            nn.init.normal_(self.head.weight)
        self.share = 1 / width if mup else 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.act(self.stem(x))
        for layer in self.hidden:
            h = self.act(layer(h))
        return self.share * self.head(h)  # type: ignore[no-any-return]


def widths(draw: int, mup: bool) -> Callable[[int], Training]:
    """One draw: activation, depth and learning rate follow its number; the same network in both parametrisations."""
    activation, hidden, lr = ACTIVATIONS[draw % 4], 1 + draw % 3, (1e-3, 3e-3)[draw % 2]

    def build(width: int) -> Training:
        model = Net(width, hidden, activation, mup)
        if not mup:
            return Training(model, optimizer=torch.optim.Adam(model.parameters(), lr=lr))
        inner = [layer.weight for layer in model.hidden]
        rest = [p for p in model.parameters() if all(p is not one for one in inner)]
        groups: list[dict[str, Any]] = [{"params": inner, "lr": lr * 64 / width}, {"params": rest, "lr": lr}]
        return Training(model, optimizer=torch.optim.Adam(groups))

    return build
