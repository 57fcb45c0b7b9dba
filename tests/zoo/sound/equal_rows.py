"""Sound models in which units start equal, and something tells them apart at the first step."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


@sound
def zero_classifier_head() -> Built:
    head = nn.Linear(24, 5)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return nn.Sequential(nn.Linear(10, 24), nn.GELU(), nn.Linear(24, 24), nn.GELU(), head), torch.randn(64, 10)


@sound
def constant_layer_among_random_ones() -> Built:
    first = nn.Linear(10, 24)
    nn.init.constant_(first.weight, 0.1)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3)), torch.randn(64, 10)


class LearnedBlur(nn.Module):
    """A depthwise filter that starts as an average, and gains that start at one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.blur = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.gain = nn.Parameter(torch.ones(8, 1, 1))
        self.head = nn.Linear(8 * 64, 4)
        nn.init.constant_(self.blur.weight, 1 / 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.gain * self.blur(F.relu(self.conv(x)))).flatten(1))


@sound
def blur_that_learns() -> Built:
    return LearnedBlur(), torch.randn(16, 3, 8, 8)


class Queries(nn.Module):
    """Zero queries like DETR's: every one of them has its own output."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(6, 16))
        self.positions = nn.Parameter(torch.zeros(1, 10, 16))
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        q = self.queries.expand(len(x), -1, -1)
        return self.head(q + self.attend(q, x + self.positions, x)[0])


@sound
def zero_queries_with_their_own_outputs() -> Built:
    return Queries(), torch.randn(32, 10, 16)


class Upcycled(nn.Module):
    """Experts that start as copies of one dense layer; the router sends them different tokens."""

    def __init__(self) -> None:
        super().__init__()
        dense = torch.randn(12, 12) / 12**0.5
        self.experts = nn.Parameter(dense.repeat(4, 1, 1))
        self.router = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        gates = self.router(x).softmax(-1)
        top, which = gates.max(-1)
        return x + top[:, None] * torch.einsum("bi,bij->bj", x, self.experts[which])


@sound
def upcycled_experts() -> Built:
    return Upcycled(), torch.randn(64, 12)


class Twin(nn.Module):
    """Two critics that start as copies of each other, on different inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        self.right = copy.deepcopy(self.left)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.left(x) - self.right(y)


@sound
def copied_towers() -> Built:
    return Twin(), (torch.randn(32, 8), torch.randn(32, 8))


@sound
def bilinear_upsampling() -> Built:
    up = nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1, groups=4, bias=False)
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        up.weight.copy_((ramp[:, None] * ramp).expand_as(up.weight))
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), up, nn.Conv2d(4, 2, 1)), torch.randn(8, 3, 8, 8)


class PaddedWindow(nn.Module):
    """Attention with a bias a position, in a window of which the image fills a corner: the other positions are all alike."""

    def __init__(self, size: int = 7, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.stem = heads, nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norm, self.qkv = nn.LayerNorm(16), nn.Linear(16, 48)
        self.position_biases = nn.Parameter(torch.zeros(heads, size * size))
        rows, columns = torch.arange(size * size) // size, torch.arange(size * size) % size
        self.index: Tensor
        offsets = (rows[:, None] - rows).abs() * size + (columns[:, None] - columns).abs()
        self.register_buffer("index", offsets)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = F.pad(h, (0, 7 - h.shape[-1], 0, 7 - h.shape[-2])).flatten(2).transpose(1, 2)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(self.norm(h)).chunk(3, -1))
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + self.position_biases[:, self.index]).softmax(-1)
        return self.head((weights @ v).transpose(1, 2).flatten(2)[:, 0])


@sound
def biases_of_a_window_that_an_image_hardly_fills() -> Built:
    return PaddedWindow(), torch.randn(8, 3, 2, 2)
