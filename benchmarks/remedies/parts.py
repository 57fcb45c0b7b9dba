"""What the further sick models are made of: nets of every kind, and the faults that are put into them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Made = tuple[nn.Module, Any]
"""A model and its inputs."""


def x(rows: int = 48, width: int = 12, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(rows, width)


def images(rows: int = 16, size: int = 10) -> Tensor:
    return torch.randn(rows, 3, size, size)


def words(rows: int = 24, length: int = 8) -> Tensor:
    return torch.randint(40, (rows, length))


def mlp(depth: int, act: Callable[[], nn.Module], width: int = 24, out: int = 3, enter: int = 12) -> nn.Sequential:
    body = [m for _ in range(depth - 1) for m in (nn.Linear(width, width), act())]
    return nn.Sequential(nn.Linear(enter, width), act(), *body, nn.Linear(width, out))


def conv(depth: int, act: Callable[[], nn.Module], width: int = 12) -> nn.Sequential:
    body = [m for _ in range(depth - 1) for m in (nn.Conv2d(width, width, 3, padding=1), act())]
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), act(), *body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 3)
    )


def filled(model: nn.Module, fill: Callable[[Tensor], Any], bias: float | None = 0.0) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                fill(p)
            elif bias is not None:
                p.fill_(bias)
    return model


def normal(std: float) -> Callable[[Tensor], Any]:
    return lambda p: nn.init.normal_(p, std=std)


class Through(nn.Module):
    """A net with a function of its author in the middle, or at the end."""

    def __init__(
        self, between: Callable[[Tensor], Tensor], front: nn.Module | None = None, back: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.front = front or nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16))
        self.back = back or nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 3))
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.back(self.between(self.front(x)))


class Looped(nn.Module):
    """Functions instead of modules, and a list of layers."""

    def __init__(self, depth: int, act: Callable[[Tensor], Tensor], std: float | None = None, width: int = 24) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(12, width), nn.Linear(width, 3)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.act = act
        if std is not None:
            filled(self, normal(std))

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.enter(x))
        for layer in self.layers:
            h = self.act(layer(h))
        return self.head(h)


class Residual(nn.Module):
    def __init__(self, depth: int, std: float) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(12, 24), nn.Linear(24, 3)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 24)) for _ in range(depth))
        filled(self, normal(std))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for block in self.blocks:
            h = h + block(h)
        return self.head(h)


class Text(nn.Module):
    """A bag of words under a net."""

    def __init__(self, net: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.table, self.net, self.scale = nn.Embedding(40, 12), net, scale

    def forward(self, tokens: Tensor) -> Tensor:
        return self.net(self.table(tokens).mean(1) * self.scale)


class Last(nn.Module):
    """What a recurrent layer has at its last step."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(rnn.hidden_size, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Cell(nn.Module):
    def __init__(self, cell: nn.Module, width: int = 20) -> None:
        super().__init__()
        self.cell, self.head, self.width = cell, nn.Linear(width, 3), width

    def forward(self, x: Tensor) -> Tensor:
        state: Any = x.new_zeros(len(x), self.width)
        state = (state, state) if isinstance(self.cell, nn.LSTMCell) else state
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class ByHand(nn.Module):
    def __init__(self, act: Callable[[Tensor], Tensor], gain: float, width: int = 20) -> None:
        super().__init__()
        self.w, self.u, self.head = nn.Linear(6, width), nn.Linear(width, width, bias=False), nn.Linear(width, 3)
        nn.init.normal_(self.u.weight, std=gain / math.sqrt(width))
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.u.in_features)
        for t in range(x.shape[1]):
            h = self.act(self.w(x[:, t]) + self.u(h))
        return self.head(h)


class Attention(nn.Module):
    def __init__(self, scale: float, std: float) -> None:
        super().__init__()
        self.q, self.k, self.v, self.head = nn.Linear(6, 24), nn.Linear(6, 24), nn.Linear(6, 24), nn.Linear(24, 3)
        self.scale = scale
        nn.init.normal_(self.q.weight, std=std)
        nn.init.normal_(self.k.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.q(x) @ self.k(x).transpose(1, 2) * self.scale, -1)
        return self.head((weights @ self.v(x)).mean(1))


class Loss(nn.Module):
    """A model that returns its own loss."""

    def __init__(self, net: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss(self.net(x), y)


def steps(length: int = 30) -> Tensor:
    return torch.randn(16, length, 6)


def labelled(scale: float = 1.0) -> tuple[Tensor, Tensor]:
    data = x(60, scale=scale)
    return data, (data[:, 0] > 0).long() + (data[:, 1] > 0).long()


def binary() -> tuple[Tensor, Tensor]:
    data = x(60)
    return data, (data[:, :1] > 0).float()


def rnn(kind: type[nn.RNNBase], std: float | None = None, bias: tuple[int, float] | None = None, **more: Any) -> nn.RNNBase:
    made = kind(6, 20, batch_first=True, **more)
    if std is not None:
        nn.init.normal_(made.weight_hh_l0, std=std)
    if bias is not None:
        made.bias_hh_l0.data[20 * bias[0] : 20 * bias[0] + 20] = bias[1]
    return made


def cell(kind: Callable[..., nn.Module], part: int, bias: float, shrink: float = 1.0) -> nn.Module:
    made = kind(6, 20)
    made.bias_ih.data[20 * part : 20 * part + 20] = bias
    made.weight_hh.data.mul_(shrink)
    return made


def shifted(model: nn.Sequential, at: int, bias: float) -> nn.Sequential:
    nn.init.constant_(model[at].bias, bias)
    return model


def scaled(model: nn.Sequential, at: int, std: float) -> nn.Sequential:
    nn.init.normal_(model[at].weight, std=std)
    return model


def constant(value: float) -> Callable[[Tensor], Any]:
    return lambda p: nn.init.constant_(p, value)


def softly(net: nn.Module) -> nn.Module:
    return nn.Sequential(net, nn.Softmax(dim=-1))


def squashed(net: nn.Module) -> nn.Module:
    return nn.Sequential(net, nn.Sigmoid())


CROSS = F.cross_entropy
