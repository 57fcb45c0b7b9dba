"""Sound models built of many parts: branches, skips, concatenations, shared blocks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class Highway(nn.Module):
    """A gate between the input and its transformation, closed at first (Srivastava et al. 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, x: Tensor) -> Tensor:
        t = torch.sigmoid(self.gate(x))
        return t * torch.relu(self.transform(x)) + (1 - t) * x


@sound
def highway_20_layers() -> Built:
    return nn.Sequential(nn.Linear(10, 32), *(Highway(32) for _ in range(20)), nn.Linear(32, 4)), torch.randn(16, 10)


class Dense(nn.Module):
    """Everything before is concatenated (Huang et al. 2016)."""

    def __init__(self, depth: int = 8, growth: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + i * growth), nn.ReLU(), nn.Conv2d(8 + i * growth, growth, 3, padding=1))
            for i in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return x


@sound
def dense_block() -> Built:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(72, 10))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Dense(), head), torch.randn(16, 3, 8, 8)


class InceptionBlock(nn.Module):
    """Four branches of different depth side by side (Szegedy et al. 2014)."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.one = self.conv(inside, 8, 1)
        self.three = nn.Sequential(self.conv(inside, 8, 1), self.conv(8, 16, 3))
        self.five = nn.Sequential(self.conv(inside, 4, 1), self.conv(4, 8, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), self.conv(inside, 8, 1))

    @staticmethod
    def conv(inside: int, outside: int, size: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inside, outside, size, padding=size // 2), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.one(x), self.three(x), self.five(x), self.pool(x)), dim=1)


@sound
def inception() -> Built:
    body = [InceptionBlock(3), InceptionBlock(40), nn.MaxPool2d(2), InceptionBlock(40)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 10)), torch.randn(16, 3, 12, 12)


class UNet(nn.Module):
    """Two levels down and up, with skips (Ronneberger et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = self.pair(1, 8), self.pair(8, 16), self.pair(16, 32)
        self.rise2, self.rise1 = nn.ConvTranspose2d(32, 16, 2, stride=2), nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.up2, self.up1 = self.pair(32, 16), self.pair(16, 8)
        self.head = nn.Conv2d(8, 2, 1)

    @staticmethod
    def pair(inside: int, outside: int) -> nn.Module:
        layers: list[nn.Module] = []
        for width in (inside, outside):
            layers += [nn.Conv2d(width, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        high = self.down1(x)
        middle = self.down2(F.max_pool2d(high, 2))
        low = self.bottom(F.max_pool2d(middle, 2))
        middle = self.up2(torch.cat((self.rise2(low), middle), dim=1))
        return self.head(self.up1(torch.cat((self.rise1(middle), high), dim=1)))


@sound
def unet() -> Built:
    return UNet(), torch.randn(8, 1, 16, 16)


class MixerBlock(nn.Module):
    """Mixing over tokens, then over channels (Tolstikhin et al. 2021)."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.over_tokens = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))
        self.over_channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.over_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.over_channels(self.norm2(x))


@sound
def mlp_mixer() -> Built:
    return nn.Sequential(
        nn.Linear(12, 32), *(MixerBlock(16, 32) for _ in range(4)), nn.LayerNorm(32), nn.Linear(32, 5)
    ), torch.randn(8, 16, 12)


class SharedDepth(nn.Module):
    """One pre-norm block applied eight times (universal transformer)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.enter = nn.Linear(10, width)
        self.block = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.leave = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for _ in range(8):
            h = h + self.block(h) / math.sqrt(8)
        return self.leave(h)


@sound
def shared_block() -> Built:
    return SharedDepth(), torch.randn(16, 10)
