"""Sound models of the usual kinds, large enough that a step takes tens of milliseconds on one core; each with its batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Built = tuple[nn.Module, Any]


def mlp(width: int, depth: int, rows: int) -> Built:
    """He initialisation: depth x (Linear, ReLU), and a head of 10."""
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(*layers, nn.Linear(width, 10)), torch.randn(rows, width)


class Residual(nn.Module):
    """ReLU(x + BN conv ReLU BN conv x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.branch(x))


def resnet(blocks: int = 6, channels: int = 24, rows: int = 32) -> Built:
    """A ResNet on 32 x 32 images."""
    stem = [nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*stem, *(Residual(channels) for _ in range(blocks)), *head), torch.randn(rows, 3, 32, 32)


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def gpt(blocks: int = 4, width: int = 128, rows: int = 32, steps: int = 32, words: int = 1000) -> Built:
    body = [Block(width, 4, causal=True) for _ in range(blocks)]
    model = nn.Sequential(nn.Embedding(words, width), *body, nn.LayerNorm(width), nn.Linear(width, words))
    return model, torch.randint(0, words, (rows, steps))


class ViT(nn.Module):
    """Patches of 4 x 4, a class token, learned positions."""

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, 65, width) * 0.02)
        self.body = nn.Sequential(*(Block(width, 4, causal=False) for _ in range(blocks)), nn.LayerNorm(width))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.body(x)[:, 0])


def vit(blocks: int = 4, width: int = 96, rows: int = 32) -> Built:
    return ViT(blocks, width), torch.randn(rows, 3, 32, 32)


class Tagger(nn.Module):
    """Embedding, LSTM of two layers, a label for each word."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(tokens))[0])


def lstm(width: int = 192, rows: int = 32, steps: int = 32) -> Built:
    return Tagger(1000, width), torch.randint(0, 1000, (rows, steps))


def _double(inside: int, outside: int) -> nn.Sequential:
    convolutions = ((inside, outside), (outside, outside))
    return nn.Sequential(
        *(m for a, b in convolutions for m in (nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()))
    )


class UNet(nn.Module):
    """Three scales, skip connections by concatenation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width]
        self.down = nn.ModuleList(_double(a, b) for a, b in zip([3, *sizes], sizes, strict=False))
        self.middle = _double(sizes[-1], sizes[-1])
        self.raise_ = nn.ModuleList(nn.ConvTranspose2d(size, size, 2, stride=2) for size in reversed(sizes))
        self.up = nn.ModuleList(_double(2 * a, b) for a, b in zip(reversed(sizes), [*reversed(sizes[:-1]), width], strict=True))
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for raise_, block, skip in zip(self.raise_, self.up, reversed(kept), strict=True):
            x = block(torch.cat([raise_(x), skip], 1))
        return self.head(x)


def unet(width: int = 8, rows: int = 32) -> Built:
    return UNet(width), torch.randn(rows, 3, 32, 32)


class Experts(nn.Module):
    """The two best of eight experts for each token, weighted by the router."""

    def __init__(self, width: int, experts: int = 8) -> None:
        super().__init__()
        self.norm, self.router = nn.LayerNorm(width), nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)) for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        weights, chosen = self.router(h).softmax(-1).topk(2, -1)
        out = torch.zeros_like(h)
        for k, expert in enumerate(self.experts):
            share = (weights * (chosen == k)).sum(-1)
            taken = share > 0
            out[taken] = out[taken] + share[taken].unsqueeze(-1) * expert(h[taken])
        return x + out


def moe(blocks: int = 3, width: int = 96, rows: int = 32, steps: int = 32) -> Built:
    body = [layer for _ in range(blocks) for layer in (Block(width, 4, causal=True), Experts(width))]
    model = nn.Sequential(nn.Embedding(1000, width), *body, nn.LayerNorm(width), nn.Linear(width, 1000))
    return model, torch.randint(0, 1000, (rows, steps))


SOUND: dict[str, Callable[[], Built]] = {
    "large MLP": lambda: mlp(1024, 6, 128),
    "ResNet": resnet,
    "ViT": vit,
    "GPT": gpt,
    "LSTM": lstm,
    "U-Net": unet,
    "MoE": moe,
}
TINY: dict[str, Callable[[], Built]] = {"tiny MLP": lambda: mlp(128, 4, 64)}
"""A step of a millisecond: what counts is what a check adds."""
