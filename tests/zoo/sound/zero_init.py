"""Sound models that start with zeros on purpose: some of their parameters get no gradient, or a tiny one, at the first step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class ScaledResidual(nn.Module):
    """x + alpha f(x), alpha = 0: ReZero with a linear f, SkipInit with a convolutional one."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.alpha * self.branch(x)


@sound
def rezero() -> Built:
    blocks = [ScaledResidual(nn.Sequential(nn.Linear(32, 32), nn.ReLU())) for _ in range(12)]
    return nn.Sequential(nn.Linear(10, 32), *blocks, nn.Linear(32, 4)), torch.randn(16, 10)


@sound
def skipinit() -> Built:
    def branch() -> nn.Module:
        return nn.Sequential(nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))

    blocks = [ScaledResidual(branch()) for _ in range(5)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *blocks, head), torch.randn(8, 3, 16, 16)


class FixupBlock(nn.Module):
    """A residual block without normalisation: last weight 0, first one shrunk by the depth (Zhang et al. 2019)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.bias1a, self.bias1b, self.bias2a, self.bias2b = (nn.Parameter(torch.zeros(1)) for _ in range(4))
        self.scale = nn.Parameter(torch.ones(1))
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        nn.init.normal_(self.conv1.weight, std=math.sqrt(2 / (width * 9)) * depth**-0.5)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.conv1(x + self.bias1a) + self.bias1b)
        return F.relu(self.conv2(out + self.bias2a) * self.scale + self.bias2b + x)


@sound
def fixup() -> Built:
    head = nn.Linear(16, 10)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    body = [FixupBlock(16, 6) for _ in range(6)]
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return model, torch.randn(8, 3, 16, 16)


class BasicBlock(nn.Module):
    """A residual block whose last BatchNorm begins with gamma = 0 (Goyal et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


@sound
def zero_gamma_resnet() -> Built:
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(stem, *(BasicBlock(16) for _ in range(4)), head), torch.randn(16, 3, 12, 12)


class DiTBlock(nn.Module):
    """A transformer block modulated by a condition; the modulation, gates included, begins at 0 (Peebles & Xie 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        nn.init.zeros_(self.modulation[1].weight)
        nn.init.zeros_(self.modulation[1].bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).unsqueeze(1).chunk(6, dim=-1)
        h = self.norm1(x) * (1 + scale1) + shift1
        x = x + gate1 * self.attention(h, h, h, need_weights=False)[0]
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class DiT(nn.Module):
    """Patches and a time step to a noise estimate; the last layer begins at 0 too."""

    def __init__(self, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, stride=4)
        self.position = nn.Parameter(0.02 * torch.randn(1, 16, width))
        self.time = nn.Sequential(nn.Linear(16, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(DiTBlock(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.head = nn.Linear(width, 48)
        for layer in (self.modulation[1], self.head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        frequency = torch.exp(-math.log(10000.0) * torch.arange(8) / 8)
        angle = t[:, None] * frequency
        condition = self.time(torch.cat((angle.cos(), angle.sin()), dim=-1))
        h = self.patch(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            h = block(h, condition)
        shift, scale = self.modulation(condition).unsqueeze(1).chunk(2, dim=-1)
        return self.head(self.norm(h) * (1 + scale) + shift)


@sound
def adaln_zero_dit() -> Built:
    return DiT(), (torch.randn(8, 3, 16, 16), 1000 * torch.rand(8))


class LayerScale(nn.Module):
    """x + gamma f(norm(x)), gamma = 1e-6 (Touvron et al. 2021)."""

    def __init__(self, width: int, initial: float = 1e-6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.gamma = nn.Parameter(initial * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.mlp(self.norm(x))


@sound
def layer_scale() -> Built:
    return nn.Sequential(
        nn.Linear(12, 32), *(LayerScale(32) for _ in range(8)), nn.LayerNorm(32), nn.Linear(32, 5)
    ), torch.randn(16, 12)


@sound
def zero_head() -> Built:
    head = nn.Linear(32, 10)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), head), torch.randn(32, 20)
