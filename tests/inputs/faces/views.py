"""Views that fix a width, sets and steps whose rank no layer shows, and documents that say it."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F


class Vlad(nn.Module):
    FED = ("f B N 32",)

    def __init__(self, d=32, k=4):
        super().__init__()
        self.d, self.k = d, k
        self.clusters = nn.Parameter(torch.randn(d, k) * d**-0.5)

    def forward(self, x):
        """x: B x N x D"""
        n = x.size(1)
        x = x.view(-1, self.d)
        a = (x @ self.clusters).softmax(1).view(-1, n, self.k)
        return (a.transpose(1, 2) @ x.view(-1, n, self.d)).flatten(1)


class Digits(nn.Module):
    """Rows of 784, which are pictures of 28 by 28, or are flat already."""

    FED = ("f B 784 | f B 1 28 28 | f B 28 28",)

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x):
        return self.net(x.reshape(-1, 784))


class DigitsConv(nn.Module):
    """A net on digits that is cut to shape in the middle."""

    FED = ("f B 1 28 28",)

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 5), nn.Linear(4 * 12 * 12, 10)

    def forward(self, image):
        return self.fc(F.max_pool2d(self.conv(image).relu(), 2).view(-1, 4 * 12 * 12))


class Colours(nn.Module):
    """A coder of pictures that never names their sides."""

    FED = ("f B 3072 | f B 3 32 32",)

    def __init__(self):
        super().__init__()
        self.code, self.back = nn.Linear(3 * 32 * 32, 16), nn.Linear(16, 3 * 32 * 32)

    def forward(self, x):
        flat = x.view(-1, 3 * 32 * 32)
        return self.back(self.code(flat).relu()).sigmoid().view(-1, 3, 32, 32)


class Tokens(nn.Module):
    """Codes of a dictionary: every vector of a sequence by itself."""

    FED = ("f B 16 | f B T 16 | f B H W 16",)

    def __init__(self):
        super().__init__()
        self.book = nn.Parameter(torch.randn(32, 16))

    def forward(self, z):
        flat = z.reshape(-1, self.book.shape[1])
        near = torch.softmax(-torch.cdist(flat, self.book), -1) @ self.book
        return near.view(z.shape)


class HandAttention(nn.Module):
    """One head by hand; the mask is added before the softmax where it is given."""

    FED = ("f B T 16", "m B T T | m T T")

    def __init__(self, d=16):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(d, d) for _ in range(3))

    def forward(self, x, mask):
        scores = self.q(x) @ self.k(x).transpose(-1, -2) / math.sqrt(16)
        return scores.masked_fill(mask == 0, -1e9).softmax(-1) @ self.v(x)


class ScaledDot(nn.Module):
    """The same with three operands."""

    FED = ("f B T 12", "f B S 12", "f B S 12")

    def __init__(self):
        super().__init__()
        self.wq, self.wk, self.wv = (nn.Linear(12, 12, bias=False) for _ in range(3))

    def forward(self, query, key, value):
        a = torch.matmul(self.wq(query), self.wk(key).transpose(-2, -1)) / 12**0.5
        return torch.matmul(a.softmax(dim=-1), self.wv(value))


class AttentionOverSet(nn.Module):
    """Pooling by attention over the second last axis."""

    FED = ("f B N 8",)

    def __init__(self):
        super().__init__()
        self.score, self.out = nn.Linear(8, 1), nn.Linear(8, 3)

    def forward(self, x):
        w = self.score(x).softmax(dim=-2)
        return self.out((w * x).sum(-2))


class DeepSet(nn.Module):
    """A set: what is summed up is the second axis."""

    FED = ("f B N 6",)

    def __init__(self):
        super().__init__()
        self.phi, self.rho = nn.Linear(6, 16), nn.Linear(16, 2)

    def forward(self, x):
        return self.rho(self.phi(x).relu().sum(dim=1))


class PointCloud(nn.Module):
    """Points with a maximum over them."""

    FED = ("f B N 3",)

    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16))
        self.head = nn.Linear(16, 4)

    def forward(self, cloud):
        return self.head(self.mlp(cloud).max(dim=1).values)


class EdgeFeatures(nn.Module):
    """All pairs of a set."""

    FED = ("f B N 5",)

    def __init__(self):
        super().__init__()
        self.pair = nn.Linear(10, 7)

    def forward(self, objects):
        b, n, d = objects.shape
        left, right = objects[:, :, None].expand(b, n, n, d), objects[:, None].expand(b, n, n, d)
        return self.pair(torch.cat([left, right], -1)).relu().mean((1, 2))


class StepByStep(nn.Module):
    """Takes one step after the other."""

    FED = ("f B T 8",)

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(8, 8)

    def forward(self, h):
        state = torch.zeros(h.size(0), 8)
        for t in range(h.size(1)):
            state = self.cell(h[:, t], state)
        return state


class LastStep(nn.Module):
    """Looks back three steps from each."""

    FED = ("f B T 4",)

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(12, 4)

    def forward(self, x):
        out = [self.mix(torch.cat([x[:, t], x[:, t - 1], x[:, t - 2]], -1)) for t in range(2, x.shape[1])]
        return torch.stack(out, 1)


class Documented(nn.Module):
    """What comes in is said where it is used."""

    FED = ("f B T 5", "f B 7")

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 4), nn.Linear(7, 4)

    def forward(self, series, static):
        """Two kinds of features.

        Args:
            series: [batch, time, channels]
            static: [batch, features]
        """
        return self.a(series) + self.b(static).unsqueeze(1)


class DocumentedPicture(nn.Module):
    """Every pixel by itself."""

    FED = ("f B H W 3",)

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 3))

    def forward(self, x):
        """x: tensor of shape B x H x W x C"""
        return self.net(x)


class AxesCounted(nn.Module):
    """Any number of axes behind the channels, but as many as it was built for."""

    FED = ("f B 4 D H W",)

    def __init__(self, axes=3):
        super().__init__()
        self.axes, self.scale = axes, nn.Parameter(torch.ones(4))

    def forward(self, x):
        _, _, *places = x.shape
        assert len(places) == self.axes
        return x * self.scale.reshape(1, -1, *[1] * len(places))


class AxesRefused(AxesCounted):
    """The same as a list, with an error of its own."""

    def forward(self, x):
        sizes = list(x.shape[2:])
        if len(sizes) != self.axes:
            raise ValueError("another number of axes")
        return x * self.scale.reshape(1, -1, *[1] * len(sizes))


class GridOfTokens(nn.Module):
    """Tokens of a grid, whose shape comes beside them."""

    FED = ("f B 16 8",)

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, tokens, grid: tuple[int, int]):
        b, n, c = tokens.shape
        return self.mix(tokens.mT.reshape(b, c, *grid)).flatten(2)


class SpacedGrid(nn.Module):
    """The same with any number of axes, and how far apart the places lie."""

    FED = ("f B 16 8",)

    def __init__(self):
        super().__init__()
        self.place, self.out = nn.Linear(2, 8), nn.Linear(8, 3)

    def forward(self, x, spacing: tuple[float, ...], shape: tuple[int, ...] | list[tuple[int, ...]]):
        b, n, c = x.shape
        axes = [torch.arange(size) * step for size, step in zip(shape, spacing, strict=True)]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)
        return self.out((x + self.place(places)).relu())
