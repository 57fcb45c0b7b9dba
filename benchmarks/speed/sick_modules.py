"""Modules with one fault each, which the sick cases of the benchmark are made of."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from benchmarks.speed.sound import Block, Residual, resnet


class Through(nn.Module):
    """A layer that applies a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Typo(nn.Module):
    """One block is called twice, the other never."""

    def __init__(self) -> None:
        super().__init__()
        body, _ = resnet()
        self.body = body
        self.first, self.second = Residual(24), Residual(24)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body[:3](x)
        return self.body[3:](self.first(self.first(x)))


class Shared(nn.Module):
    """Attention with the batch along the wrong axis."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(64, 128), nn.Linear(128, 10)
        layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(1))


class Towers(nn.Module):
    """The second tower hardly counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = resnet(3)[0], resnet(3)[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + 1e-6 * self.second(x)


class Hidden(nn.Module):
    """Adapters in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, 128)
        self.blocks = nn.ModuleList(Block(128, 4, causal=True) for _ in range(3))
        self.adapters = [nn.Linear(128, 128) for _ in range(3)]
        self.head = nn.Linear(128, 1000)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for block, adapter in zip(self.blocks, self.adapters, strict=True):
            x = x + adapter(block(x))
        return self.head(x)
