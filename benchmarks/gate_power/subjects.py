"""Ten models to hold against their own baselines, each with the blocks at which its flow can be weakened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Subject:
    name: str
    build: Callable[[], nn.Module]
    blocks: tuple[str, ...]


def weakened(build: Callable[[], nn.Module], block: str, factor: float) -> Callable[[], nn.Module]:
    """The same model, except that the output of one block hands back only this much of its gradient."""

    def make() -> nn.Module:
        model = build()
        model.get_submodule(block).register_forward_hook(lambda _m, _i, out: _weaken(out, factor))
        return model

    return make


def _weaken(out: Tensor | tuple[Tensor, ...], factor: float) -> Tensor | tuple[Tensor, ...]:
    if isinstance(out, tuple):
        return (_weaken(out[0], factor), *out[1:])  # type: ignore[return-value]
    return factor * out + (1 - factor) * out.detach()


def mlp() -> nn.Module:
    blocks = [layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*blocks, nn.Linear(64, 10))


def narrow() -> nn.Module:
    """Twelve layers of sixteen units: from one initialisation to the next the flow varies most."""
    model = nn.Sequential(*[layer for _ in range(12) for layer in (nn.Linear(16, 16), nn.ReLU())], nn.Linear(16, 2))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return model


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = (48, 32, 16, 4)
        self.encoder = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.decoder = nn.ModuleList(nn.Linear(b, a) for a, b in reversed(list(zip(sizes, sizes[1:], strict=False))))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.encoder:
            x = torch.tanh(layer(x))
        for layer in self.decoder[:-1]:
            x = torch.tanh(layer(x))
        return self.decoder[-1](x)


def convnet() -> nn.Module:
    def block(a: int, b: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))

    return nn.Sequential(block(3, 16), block(16, 32), block(32, 32), nn.Flatten(), nn.Linear(32 * 16, 10))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


def resnet() -> nn.Module:
    stem = nn.Conv2d(3, 16, 3, padding=1)
    return nn.Sequential(stem, *(Residual(16) for _ in range(4)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True) for _ in range(3))
        self.head = nn.Linear(32, 100)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Tagger(nn.Module):
    """An LSTM over embedded tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 24)
        self.lstm = nn.LSTM(24, 32, batch_first=True)
        self.hidden = nn.Linear(32, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        out, _ = self.lstm(self.embed(tokens))
        return self.head(torch.relu(self.hidden(out)))


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.middle = nn.Conv2d(16, 16, 3, padding=1)
        self.up2, self.up1 = nn.Conv2d(32, 8, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.silu(self.down1(x))
        b = F.silu(self.down2(F.max_pool2d(a, 2)))
        c = F.silu(self.middle(b))
        d = F.silu(self.up2(torch.cat([b, c], 1)))
        return self.head(F.silu(self.up1(torch.cat([a, F.interpolate(d, scale_factor=2)], 1))))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, 8)
        self.tokens = nn.ModuleList(nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)) for _ in range(3))
        self.channels = nn.ModuleList(nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24)) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(24) for _ in range(6))
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for i, (tokens, channels) in enumerate(zip(self.tokens, self.channels, strict=True)):
            x = x + tokens(self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + channels(self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


class Experts(nn.Module):
    """The best of four experts for each sample: under some seeds an expert gets nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(20, 32)
        self.gate = nn.Linear(32, 4)
        self.experts = nn.ModuleList(nn.Linear(32, 32) for _ in range(4))
        self.head = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        weight, chosen = self.gate(x).softmax(-1).max(-1)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            rows = chosen == i
            if rows.any():
                out[rows] = expert(x[rows])
        return self.head(x + weight.unsqueeze(-1) * torch.relu(out))


SUBJECTS = (
    Subject("mlp", mlp, tuple(str(i) for i in range(1, 12, 2))),
    Subject("narrow", narrow, tuple(str(i) for i in range(1, 24, 2))),
    Subject("autoencoder", Autoencoder, ("encoder.0", "encoder.1", "encoder.2", "decoder.0", "decoder.1")),
    Subject("convnet", convnet, ("0", "1", "2")),
    Subject("resnet", resnet, ("0", "1", "2", "3", "4")),
    Subject("transformer", Transformer, ("embed", "layers.0", "layers.1", "layers.2")),
    Subject("lstm", Tagger, ("embed", "lstm", "hidden")),
    Subject("unet", Unet, ("down1", "down2", "middle", "up2", "up1")),
    Subject("mixer", Mixer, ("patches", "tokens.0", "channels.0", "tokens.1", "channels.1", "tokens.2", "channels.2")),
    Subject("experts", Experts, ("stem", "gate")),
)
