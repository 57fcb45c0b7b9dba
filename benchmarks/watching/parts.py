"""Models, data and the usual step that the runs are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Tell = Callable[[Any], Any]
Run = tuple[Any, Any, Callable[[int, Tell], None]]
"""The model or models, the optimizer or optimizers, and the step: of its number, and of what is called with the loss."""


def mlp(*sizes: int, act: type[nn.Module] = nn.ReLU, norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.Linear(a, b), *([nn.LayerNorm(b)] if norm else []), act()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def regression(k: int, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(size, 8, generator=torch.Generator().manual_seed(k))
    return x, (x[:, :1] * x[:, 1:2] + torch.sin(x[:, 2:3])) * 0.7 + x[:, 3:4]


def digits(k: int, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten bars on noise."""
    g = torch.Generator().manual_seed(k)
    y = torch.randint(10, (size,), generator=g)
    x = 0.3 * torch.randn(size, 1, 12, 12, generator=g)
    for i, c in enumerate(y.tolist()):
        x[i, 0, c : c + 2, :] += 1.0
    return x, y


def tokens(k: int, size: int = 16, length: int = 12) -> torch.Tensor:
    g = torch.Generator().manual_seed(k)
    start = torch.randint(20, (size, 1), generator=g)
    return (start + torch.arange(length)) % 20


class Transformer(nn.Module):
    def __init__(self, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, width)
        self.place = nn.Parameter(torch.randn(12, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, 20)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        out: torch.Tensor = self.head(self.body(self.embed(ids) + self.place[: ids.shape[1]], mask=mask, is_causal=True))
        return out


class Conv(nn.Module):
    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.na = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.nb = nn.BatchNorm2d(16) if norm else nn.Identity()
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.na(self.a(x))), 2)
        out: torch.Tensor = self.head(F.relu(self.nb(self.b(x))).amax((2, 3)))
        return out


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module] = nn.GRU, inputs: int = 2, outputs: int = 1) -> None:
        super().__init__()
        self.body = kind(inputs, 24, batch_first=True)
        self.head = nn.Linear(24, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.body(x)[0][:, -1])
        return out


def adding(k: int, size: int = 32, length: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(k)
    values = torch.rand(size, length, generator=g)
    marks = torch.zeros(size, length)
    marks[torch.arange(size), torch.randint(0, length // 2, (size,), generator=g)] = 1
    marks[torch.arange(size), torch.randint(length // 2, length, (size,), generator=g)] = 1
    return torch.stack((values, marks), -1), (values * marks).sum(1, keepdim=True)


def usual(
    model: nn.Module, optimizer: Any, loss: Callable[[int], torch.Tensor], after: Callable[[int], Any] | None = None
) -> Run:
    """zero_grad, backward, step."""

    def step(k: int, tell: Tell) -> None:
        optimizer.zero_grad()
        value = loss(k)
        tell(value)
        value.backward()
        optimizer.step()
        if after is not None:
            after(k)

    return model, optimizer, step


def fit(model: nn.Module, optimizer: Any, after: Callable[[int], Any] | None = None) -> Run:
    """The regression, by mean squares."""

    def loss(k: int) -> torch.Tensor:
        x, y = regression(k)
        return F.mse_loss(model(x), y)

    return usual(model, optimizer, loss, after)


def classify(model: nn.Module, optimizer: Any, after: Callable[[int], Any] | None = None) -> Run:
    def loss(k: int) -> torch.Tensor:
        x, y = digits(k)
        return F.cross_entropy(model(x), y)

    return usual(model, optimizer, loss, after)


def language(model: nn.Module, optimizer: Any, after: Callable[[int], Any] | None = None) -> Run:
    def loss(k: int) -> torch.Tensor:
        ids = tokens(k)
        return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())

    return usual(model, optimizer, loss, after)


def cosine(optimizer: Any, total: int = 60, warm: int = 0, low: float = 0.0) -> Any:
    def rate(k: int) -> float:
        if k < warm:
            return k / warm
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, (k - warm) / max(1, total - warm))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
