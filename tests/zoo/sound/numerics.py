"""Sound models in unusual numeric clothes: dtypes, loss scales, tiny batches, in-place operations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


@sound
def in_place_relu() -> Built:
    layers: list[nn.Module] = []
    for inside, outside in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)), torch.randn(16, 3, 12, 12)


class InPlaceFunctions(nn.Module):
    """relu_, add_ and mul_ as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu_(self.first(x))
        out = self.second(h)
        out += h
        return self.head(out.mul_(0.5).clamp_(min=0))


@sound
def in_place_functions() -> Built:
    return InPlaceFunctions(), torch.randn(32, 12)


class OwnLoss(nn.Module):
    """Cross entropy inside forward, times a constant."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))
        self.scale = scale

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return self.scale * F.cross_entropy(self.net(x), labels)


@sound
def loss_times_1e5() -> Built:
    return OwnLoss(1e5), (torch.randn(32, 12), torch.randint(0, 5, (32,)))


@sound
def loss_times_1e_minus_5() -> Built:
    return OwnLoss(1e-5), (torch.randn(32, 12), torch.randint(0, 5, (32,)))


def relu_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))


@sound
def batch_of_2() -> Built:
    return relu_net(), torch.randn(2, 12)


@sound
def batch_of_1() -> Built:
    return relu_net(), torch.randn(1, 12)


@sound
def batch_norm_of_2() -> Built:
    """Two samples a channel: the flow through BatchNorm says nothing here."""
    body = [nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU()]
    return nn.Sequential(*body, nn.Linear(32, 5)), torch.randn(2, 12)


@sound
def bfloat16() -> Built:
    body = [nn.Linear(12, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 5)]
    return nn.Sequential(*body).bfloat16(), torch.randn(16, 12, dtype=torch.bfloat16)


@sound
def float64() -> Built:
    return relu_net().double(), torch.randn(16, 12, dtype=torch.float64)


class Autocast(nn.Module):
    """bfloat16 autocast inside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.net = relu_net()

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.net(x)


@sound
def autocast() -> Built:
    return Autocast(), torch.randn(16, 12)


@sound
def eval_mode() -> Built:
    body = [
        nn.Conv2d(3, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(16, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    ]
    model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    return model.eval(), torch.randn(4, 3, 10, 10)


@sound
def narrow() -> Built:
    """Four units a layer: some are off by chance, never all of them."""
    layers: list[nn.Module] = []
    for inside in (6, 4, 4):
        layers += [nn.Linear(inside, 4), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Linear(4, 2)), torch.randn(64, 6)


@sound
def linear_regression() -> Built:
    return nn.Linear(10, 1), torch.randn(32, 10)


@sound
def logistic_regression() -> Built:
    return nn.Sequential(nn.Linear(10, 1), nn.Sigmoid()), torch.randn(32, 10)


@sound
def strong_dropout() -> Built:
    body = [nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.7), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.7), nn.Linear(64, 5)]
    return nn.Sequential(*body), torch.randn(32, 20)


class Float32Inside(nn.Module):
    """float32 written into forward, as many norms do, and a branch that begins at 0: there is no float64 of this model."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.branch, self.leave = nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 4)
        self.gate = nn.Parameter(torch.zeros(32))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.enter(x)).float()
        return self.leave(h + self.gate * self.branch(h))


@sound
def float32_inside() -> Built:
    return Float32Inside(), torch.randn(16, 12)


class ComplexNet(nn.Module):
    """A learned filter in the frequency domain, complex weights."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(1, 8)
        self.filter = nn.Parameter(torch.randn(8, 9, dtype=torch.cfloat) / 8**0.5)
        self.leave = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x).transpose(1, 2)
        h = torch.fft.irfft(torch.fft.rfft(h, dim=-1) * self.filter, n=h.shape[-1])
        return self.leave(F.gelu(h).transpose(1, 2))


@sound
def complex_spectral_filter() -> Built:
    return ComplexNet(), torch.randn(8, 16, 1)


class SafeMaths(nn.Module):
    """log, sqrt, division and a masked softmax as they should be written."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.head = nn.Linear(10, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = F.softplus(self.scale(x))
        h = torch.log(h + 1e-6) / (h.std(dim=1, keepdim=True) + 1e-6)
        score = self.head(torch.sqrt(h.square() + 1e-8)).masked_fill(~mask, -1e9)
        return F.softmax(score, dim=-1)


@sound
def safe_maths() -> Built:
    mask = torch.rand(32, 4) < 0.7
    mask[:, 0] = True
    return SafeMaths(), (torch.randn(32, 10), mask)
