"""Edits of ordinary models, as a pull request makes them, and whether a gate has to stop each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


def perceptron(act: type[nn.Module] = nn.ReLU, width: int = 64, depth: int = 6, classes: int = 10) -> nn.Module:
    """He initialisation, no normalisation."""
    sizes = [32, *[width] * depth]
    blocks: list[nn.Module] = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        linear = nn.Linear(a, b)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        blocks += [linear, act()]
    return nn.Sequential(*blocks, nn.Linear(width, classes))


class Conv(nn.Module):
    """Convolution, normalisation, ReLU, four times."""

    def __init__(self, width: int = 16, bias: bool = True, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        sizes = [3, *[width] * 4]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=bias) for a, b in zip(sizes, sizes[1:], strict=False))
        self.norms = nn.ModuleList(norm(width) for _ in range(4))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class ReluBlock(Block):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.relu(self.up(self.norm(x))))


class Residual(nn.Module):
    def __init__(self, width: int = 32, depth: int = 5, block: Callable[[int], nn.Module] = Block) -> None:
        super().__init__()
        self.stem = nn.Linear(20, width)
        self.blocks = nn.ModuleList(block(width) for _ in range(depth))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Attention(nn.Module):
    def __init__(self, scale: bool = True, dim: int = 32) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.norm = nn.LayerNorm(dim)
        self.scale = dim**-0.5 if scale else 1.0

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        scores = self.q(h) @ self.k(h).transpose(-1, -2) * self.scale
        return x + self.out(scores.softmax(-1) @ self.v(h))


class Tokens(nn.Module):
    """An embedding, three layers of attention."""

    def __init__(self, attention: Callable[[], nn.Module] = Attention) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        self.layers = nn.ModuleList(attention() for _ in range(3))
        self.head = nn.Linear(32, 50)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


# ---- edits that leave the flow sound


def rename() -> nn.Module:
    class Renamed(Conv):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.scales = self.convs, self.norms
            del self.convs, self.norms

        def forward(self, x: Tensor) -> Tensor:
            for conv, norm in zip(self.features, self.scales, strict=True):
                x = F.relu(norm(conv(x)))
            return self.head(x.mean((2, 3)))

    return Renamed()


def rename_class() -> nn.Module:
    class PreNormBlock(Block): ...

    return Residual(block=PreNormBlock)


def reorder() -> nn.Module:
    class Reordered(Residual):
        """What is registered first is called last."""

        def __init__(self) -> None:
            super().__init__()
            stem, blocks, head = self.stem, self.blocks, self.head
            del self.stem, self.blocks, self.head
            self.head, self.blocks, self.stem = head, blocks, stem

    return Reordered()


def sequential() -> nn.Module:
    """The same layers, in nested Sequentials."""
    conv = Conv()
    blocks = [nn.Sequential(c, n, nn.ReLU()) for c, n in zip(conv.convs, conv.norms, strict=True)]
    return nn.Sequential(nn.Sequential(*blocks), nn.AdaptiveAvgPool2d(1), nn.Flatten(), conv.head)


def he_in_front_of_batch_norm() -> nn.Module:
    model = Conv()
    for conv in model.convs:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return model


def large_in_front_of_layer_norm() -> nn.Module:
    """Orthogonal with gain 8: the normalisation takes the scale away."""
    model = normalised()
    for layer in model:
        if isinstance(layer, nn.Linear) and layer.out_features == 32:
            nn.init.orthogonal_(layer.weight, 8.0)
    return model


def normalised() -> nn.Sequential:
    blocks: list[nn.Module] = []
    for _ in range(5):
        blocks += [nn.Linear(32, 32), nn.LayerNorm(32), nn.Tanh()]
    return nn.Sequential(*blocks, nn.Linear(32, 4))


class RootMeanSquare(nn.Module):
    """A stack of layers and a normalisation written by hand."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(5))
        self.head = nn.Linear(32, 4)
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight, gain)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            h = layer(x)
            x = F.silu(h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6))
        return self.head(x)


def renamed_and_detached() -> nn.Module:
    class Other(Block): ...

    class Renamed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(20, 32)
            self.layers = nn.ModuleList(Other(32) for _ in range(6))
            self.last = nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            for i, layer in enumerate(self.layers):
                x = x + (layer(x) - x).detach() if i < 2 else layer(x)
            return self.last(x)

    return Renamed()


def dropout() -> nn.Module:
    class Dropped(Block):
        def forward(self, x: Tensor) -> Tensor:
            return x + F.dropout(self.down(F.gelu(self.up(self.norm(x)))), 0.1, self.training)

    return Residual(block=Dropped)


def recomputed() -> nn.Module:
    class Recomputed(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False)
            return self.head(x)

    return Recomputed()


def zero_start() -> nn.Module:
    """The last layer of every branch starts at zero, as published for residual networks."""
    model = Residual()
    for block in model.blocks:
        nn.init.zeros_(block.down.weight)
        nn.init.zeros_(block.down.bias)
    return model


def skip_added() -> nn.Module:
    class Skipped(Conv):
        def forward(self, x: Tensor) -> Tensor:
            for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
                x = F.relu(norm(conv(x))) + (x if i else 0.0)
            return self.head(x.mean((2, 3)))

    return Skipped()


# ---- edits that hurt


def detached() -> nn.Module:
    class Detached(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for i, block in enumerate(self.blocks):
                x = block(x.detach() if i == 2 else x)
            return self.head(x)

    return Detached()


def no_skip() -> nn.Module:
    class Plain(Block):
        def forward(self, x: Tensor) -> Tensor:
            return self.down(F.gelu(self.up(self.norm(x))))

    return Residual(block=Plain)


def one_skip_missing() -> nn.Module:
    class Plain(Block):
        def forward(self, x: Tensor) -> Tensor:
            return self.down(torch.sigmoid(self.up(self.norm(x))))

    model = Residual()
    model.blocks[2] = Plain(32)
    return model


def small_start() -> nn.Module:
    model = perceptron()
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
    return model


def large_start() -> nn.Module:
    model = perceptron()
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data *= 3.0
    return model


def norm_removed() -> nn.Module:
    return Conv(norm=lambda width: nn.Identity())


def forgotten() -> nn.Module:
    class Forgotten(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for block in self.blocks[1:]:
                x = block(x)
            return self.head(x)

    return Forgotten()


def without_grad() -> nn.Module:
    class Frozen(Conv):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = F.relu(self.norms[0](self.convs[0](x)))
            for conv, norm in zip(self.convs[1:], self.norms[1:], strict=True):
                x = F.relu(norm(conv(x)))
            return self.head(x.mean((2, 3)))

    return Frozen()


def dead_bias() -> nn.Module:
    model = perceptron()
    nn.init.constant_(model[6].bias, -2.0)
    return model


def hot_attention() -> nn.Module:
    """Scores a hundred times too large: every softmax is one-hot."""

    def hot() -> nn.Module:
        layer = Attention()
        layer.scale = 20.0
        return layer

    return Tokens(hot)


def small_gain() -> nn.Module:
    """One normalisation whose gain is a fiftieth, in a stack without skip connections."""
    model = normalised()
    nn.init.constant_(model[7].weight, 0.02)
    return model


def factor() -> nn.Module:
    class Scaled(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for i, block in enumerate(self.blocks):
                x = block(x)
                x = 0.1 * x + 0.9 * x.detach() if i == 1 else x
            return self.head(x)

    return Scaled()


@dataclass(frozen=True)
class Edit:
    name: str
    before: Callable[[], nn.Module]
    after: Callable[[], nn.Module]
    sound: bool


EDITS = (
    Edit("rename", Conv, rename, True),
    Edit("rename a class", Residual, rename_class, True),
    Edit("reorder", Residual, reorder, True),
    Edit("nest in Sequentials", Conv, sequential, True),
    Edit("deepen", Residual, partial(Residual, depth=7), True),
    Edit("deepen without skips", perceptron, partial(perceptron, depth=8), True),
    Edit("widen", perceptron, partial(perceptron, width=128), True),
    Edit("more classes", perceptron, partial(perceptron, classes=100), True),
    Edit("ReLU for GELU", Residual, partial(Residual, block=ReluBlock), True),
    Edit("LeakyReLU for ReLU", perceptron, partial(perceptron, nn.LeakyReLU), True),
    Edit("He in front of a batch norm", Conv, he_in_front_of_batch_norm, True),
    Edit("large weights in front of a layer norm", normalised, large_in_front_of_layer_norm, True),
    Edit("large weights in front of a norm by hand", RootMeanSquare, partial(RootMeanSquare, gain=6.0), True),
    Edit("no bias in front of a batch norm", Conv, partial(Conv, bias=False), True),
    Edit("group norm for batch norm", Conv, partial(Conv, norm=partial(nn.GroupNorm, 4)), True),
    Edit("dropout", Residual, dropout, True),
    Edit("recompute activations", Residual, recomputed, True),
    Edit("zero start of branches", Residual, zero_start, True),
    Edit("add a skip connection", Conv, skip_added, True),
    Edit("detach", Residual, detached, False),
    Edit("renamed, deepened, and two branches detached", Residual, renamed_and_detached, False),
    Edit("sigmoid for ReLU", perceptron, partial(perceptron, nn.Sigmoid), False),
    Edit("no skip connections", Residual, no_skip, False),
    Edit("one skip connection missing", Residual, one_skip_missing, False),
    Edit("small weights, no normalisation", perceptron, small_start, False),
    Edit("large weights, no normalisation", perceptron, large_start, False),
    Edit("normalisation removed", Conv, norm_removed, False),
    Edit("block forgotten", Residual, forgotten, False),
    Edit("no_grad", Conv, without_grad, False),
    Edit("negative bias", perceptron, dead_bias, False),
    Edit("hot softmax", Tokens, hot_attention, False),
    Edit("small gain", normalised, small_gain, False),
    Edit("a factor", Residual, factor, False),
)
