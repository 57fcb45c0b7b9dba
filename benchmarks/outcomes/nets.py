"""The nets of the sweep: by kind, activation, width, depth and initialisation. None of them was used to set a limit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

FEATURES, STEPS_BACK = 16, 20
"""Of an input, and the steps of a sequence whose first one a recurrence has to remember."""


@dataclass(frozen=True)
class Net:
    """A net, how it is built, and which of the tasks it is trained on."""

    kind: str
    name: str
    build: Callable[[], nn.Module]
    task: str = "vector"
    """vector, image, tokens or recall."""
    width: int = 0
    depth: int = 0


def _scaled(layer: nn.Module, init: str) -> nn.Module:
    """default: torch's own; he: He; a number: that many times Xavier's standard deviation."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    if init == "he":
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
    elif init != "default":
        nn.init.xavier_normal_(weight, gain=float(init))
    return layer


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.2),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "layer norm": nn.LayerNorm,
    "batch norm": lambda width: nn.BatchNorm1d(width, track_running_stats=False),
}


def plain(activation: str, width: int, depth: int, init: str, shift: float = 0.0) -> nn.Module:
    layers: list[nn.Module] = []
    for k in range(depth):
        linear = _scaled(nn.Linear(FEATURES if k == 0 else width, width), init)
        if shift:
            nn.init.constant_(linear.bias, shift)  # type: ignore[arg-type]
        layers += [linear, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def normed(norm: str, activation: str, width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = []
    for k in range(depth):
        layers += [nn.Linear(FEATURES if k == 0 else width, width), NORMS[norm](width), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


class Block(nn.Module):
    """x + scale * f(x), with or without a norm in front of f."""

    def __init__(self, width: int, activation: str, normed: bool, scale: float) -> None:
        super().__init__()
        self.norm: nn.Module = nn.LayerNorm(width) if normed else nn.Identity()
        self.body = nn.Sequential(nn.Linear(width, width), ACTIVATIONS[activation](), nn.Linear(width, width))
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.scale * self.body(self.norm(x))
        return out


def residual(activation: str, width: int, depth: int, normed: bool, scale: float) -> nn.Module:
    blocks = [Block(width, activation, normed, scale) for _ in range(depth)]
    return nn.Sequential(nn.Linear(FEATURES, width), *blocks, nn.Linear(width, 1))


def convolutions(activation: str, width: int, depth: int, init: str, norm: bool) -> nn.Module:
    layers: list[nn.Module] = []
    for k in range(depth):
        layers.append(_scaled(nn.Conv2d(3 if k == 0 else width, width, 3, padding=1), init))
        layers += [nn.GroupNorm(1, width)] * norm + [ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1))


class Attention(nn.Module):
    """A transformer block, its norms in front of the branches or behind the sums."""

    def __init__(self, width: int, first: bool) -> None:
        super().__init__()
        self.first, self.heads = first, 2
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in self.qkv(x).chunk(3, -1))
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
        out: torch.Tensor = self.proj((scores.softmax(-1) @ v).transpose(-2, -3).flatten(-2))
        return out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for norm, branch in zip(self.norms, (self.attend, self.mlp), strict=True):
            x = x + branch(norm(x)) if self.first else norm(x + branch(x))
        return x


class Pooled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(-2)


def transformer(width: int, depth: int, first: bool) -> nn.Module:
    blocks = [Attention(width, first) for _ in range(depth)]
    return nn.Sequential(nn.Linear(FEATURES, width), *blocks, Pooled(), nn.Linear(width, 1))


class Recurrence(nn.Module):
    """h <- f(W x + U h): `gain` times an orthogonal U, or torch's default where it is 0; plain, gated or leaky."""

    def __init__(self, width: int, activation: str, gain: float, kind: str) -> None:
        super().__init__()
        self.cell = nn.Linear(FEATURES + width, width)
        self.gate = nn.Linear(FEATURES + width, width) if kind == "gated" else None
        self.leak = 0.1 if kind == "leaky" else 1.0
        self.squash = ACTIVATIONS[activation]()
        self.head = nn.Linear(width, 1)
        if gain:
            with torch.no_grad():
                nn.init.orthogonal_(self.cell.weight[:, FEATURES:], gain)
        if self.gate is not None:
            nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x.new_zeros(x.shape[0], self.head.in_features)
        for step in x.unbind(1):
            both = torch.cat([step, state], -1)
            share = self.leak if self.gate is None else torch.sigmoid(self.gate(both))
            state = state + share * (self.squash(self.cell(both)) - state)
        out: torch.Tensor = self.head(state)
        return out


def nets() -> Iterator[Net]:
    """All of them, in a fixed order."""
    product = itertools.product
    for activation, depth in product(ACTIVATIONS, (3, 10, 20)):
        yield _net("plain", lambda a=activation, d=depth: plain(a, 48, d, "default"), activation, 48, depth, "default")
    for activation, depth in product(("relu", "leaky", "gelu", "tanh"), (6, 14, 28)):
        init = "he" if activation != "tanh" else "1.0"
        yield _net("plain", lambda a=activation, d=depth, i=init: plain(a, 24, d, i), activation, 24, depth, init)
    for activation, init, depth in product(("relu", "tanh"), ("0.3", "0.6", "2.5"), (5, 9, 15)):
        yield _net("plain", lambda a=activation, d=depth, i=init: plain(a, 40, d, i), activation, 40, depth, init)
    for activation, width, depth in product(("relu", "tanh"), (192, 512), (5, 12)):
        for init in ("default", "he" if activation == "relu" else "1.0"):
            yield _net("wide", lambda a=activation, w=width, d=depth, i=init: plain(a, w, d, i), activation, width, depth, init)
    for activation, depth in product(("silu", "elu"), (5, 12)):
        yield _net("plain", lambda a=activation, d=depth: plain(a, 128, d, "he"), activation, 128, depth, "he")
    for activation, shift in product(("relu", "sigmoid", "tanh"), (-8.0, -3.0, -0.5, 4.0)):
        yield _net(
            "shifted", lambda a=activation, s=shift: plain(a, 48, 3, "he", s), activation, 48, 3, f"he, biases {shift:g}"
        )
    for activation, gain in product(("sigmoid", "tanh"), ("4", "12", "40")):
        yield _net("saturated", lambda a=activation, g=gain: plain(a, 48, 3, g), activation, 48, 3, gain)
    for norm, activation, depth in product(NORMS, ("relu", "tanh", "sigmoid"), (8, 20)):
        yield _net("normed", lambda n=norm, a=activation, d=depth: normed(n, a, 40, d), activation, 40, depth, norm)
    for activation, depth, first, scale in product(("relu", "tanh"), (6, 20), (True, False), (1.0, 0.1)):
        yield _net(
            "residual",
            lambda a=activation, d=depth, f=first, s=scale: residual(a, 40, d, f, s),
            activation,
            40,
            depth,
            f"{'pre-norm, ' * first}scale {scale:g}",
        )
    for activation, depth, init in product(("relu", "tanh", "sigmoid"), (4, 9, 14), ("default", "he")):
        yield _net(
            "conv",
            lambda a=activation, d=depth, i=init: convolutions(a, 12, d, i, norm=False),
            activation,
            12,
            depth,
            init,
            task="image",
        )
    for activation, depth in product(("relu", "sigmoid"), (6, 14)):
        yield _net(
            "conv",
            lambda a=activation, d=depth: convolutions(a, 12, d, "default", norm=True),
            activation,
            12,
            depth,
            "group norm",
            task="image",
        )
    for width, depth, first in product((16, 32), (2, 6), (True, False)):
        name = "pre-norm" if first else "post-norm"
        yield _net(
            "transformer", lambda w=width, d=depth, f=first: transformer(w, d, f), "gelu", width, depth, name, task="tokens"
        )
    for kind, activation, gain in product(("plain", "gated", "leaky"), ("tanh", "relu", "sigmoid"), (0.0, 0.05, 0.4, 1.0)):
        yield _net(
            "recurrence",
            lambda k=kind, a=activation, g=gain: Recurrence(24, a, g, k),
            activation,
            24,
            STEPS_BACK,
            f"{kind}, {f'orthogonal x {gain:g}' if gain else 'default'}",
            task="recall",
        )


def _net(
    kind: str, build: Callable[[], nn.Module], activation: str, width: int, depth: int, init: str, task: str = "vector"
) -> Net:
    return Net(kind, f"{kind}, {activation}, {depth} x {width}, {init}", build, task, width, depth)
