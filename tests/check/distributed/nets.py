"""Small nets of many kinds, sound and sick, that the tests spread over ranks in several ways."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """A block of a transformer, as people write it."""

    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, steps, width = x.shape
        h = self.norm1(x)
        # -1, because under tensor parallelism a rank has only some of the heads
        q, k, v = (layer(h).view(batch, steps, -1, width // self.heads).transpose(1, 2) for layer in (self.q, self.k, self.v))
        h = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(h.transpose(1, 2).reshape(batch, steps, -1))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, depth: int = 2, width: int = 16, words: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Residual(nn.Module):
    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.stem = nn.Linear(12, 16)
        self.layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.ReLU()) for _ in range(depth))
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Unused(nn.Module):
    """A layer that forward forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.aux, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))


class Cut(nn.Module):
    """A part of the net whose gradient a detach() takes away."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x))
        return self.last(torch.relu(self.second(h.detach())))


class Adapter(nn.Module):
    """LoRA, with the zeros that it starts from."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.down, self.up = nn.Linear(16, 16), nn.Linear(16, 4, bias=False), nn.Linear(4, 16, bias=False)
        self.head = nn.Linear(16, 4)
        self.base.requires_grad_(False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.base(x) + self.up(self.down(x))))


def mlp(depth: int = 4, activation: type[nn.Module] = nn.ReLU, width: int = 16) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), activation()]
        nn.init.kaiming_normal_(layers[-2].weight)  # type: ignore[arg-type]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip


def batch_norms() -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Linear(16, 3)
    )


def constant() -> nn.Module:
    net = mlp(3)
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.1)
    return net


def large_weights() -> nn.Module:
    net = mlp(12)
    for parameter in net.parameters():
        parameter.data.mul_(4)
    return net


def vanishing() -> nn.Module:
    return nn.Sequential(*[layer for _ in range(16) for layer in (nn.Linear(16, 16), nn.Sigmoid())], nn.Linear(16, 4))


def dead() -> nn.Module:
    net = mlp(3)
    nn.init.constant_(net[2].bias, -100.0)  # type: ignore[index,arg-type]
    return net


def dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 4))


SOUND = {
    "mlp": mlp, "deep mlp": lambda: mlp(10), "convolutions": convolutions, "batch norms": batch_norms, "residual": Residual,
    "transformer": Transformer, "recurrent": Recurrent, "adapter": Adapter, "dropout": dropout, "gelu": lambda: mlp(4, nn.GELU),
}  # fmt: skip
SICK = {
    "vanishing": vanishing, "exploding": large_weights, "dead": dead, "constant": constant, "unused": Unused, "cut": Cut,
}  # fmt: skip
