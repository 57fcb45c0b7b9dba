"""Sound models with parameters that cannot matter, or heads whose plain sum is constant."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


@sound
def bn_before_activation() -> Built:
    """Linear's bias before BatchNorm has a gradient of rounding errors only."""
    layers: list[nn.Module] = []
    for inside, outside in ((20, 32), (32, 32), (32, 32)):
        layers += [nn.Linear(inside, outside, bias=True), nn.BatchNorm1d(outside), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, 5)), torch.randn(64, 20)


@sound
def bn_after_activation() -> Built:
    layers: list[nn.Module] = []
    for inside, outside in ((20, 32), (32, 32), (32, 32)):
        layers += [nn.Linear(inside, outside), nn.ReLU(), nn.BatchNorm1d(outside)]
    return nn.Sequential(*layers, nn.Linear(32, 5)), torch.randn(64, 20)


@sound
def instance_norm_bias() -> Built:
    """The convolution's bias before an instance norm is redundant."""
    body = [
        nn.Conv2d(3, 16, 3, padding=1),
        nn.InstanceNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.InstanceNorm2d(16, affine=True),
    ]
    return nn.Sequential(*body, nn.ReLU(), nn.Conv2d(16, 3, 1)), torch.randn(8, 3, 10, 10)


class Attention(nn.Module):
    """Plain attention: softmax does not see the bias of the keys."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        score = self.query(x) @ self.key(x).transpose(1, 2) / x.shape[-1] ** 0.5
        return x + self.out(F.softmax(score, dim=-1) @ self.value(x))


@sound
def key_bias() -> Built:
    return nn.Sequential(Attention(), nn.LayerNorm(24), Attention()), torch.randn(16, 8, 24)


@sound
def layer_norm_head() -> Built:
    """The sum of a layer norm's output is constant: only a projection shows the gradient."""
    return nn.Sequential(nn.Linear(12, 32), nn.GELU(), nn.Linear(32, 16), nn.LayerNorm(16)), torch.randn(16, 12)


@sound
def softmax_head() -> Built:
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(dim=-1)), torch.randn(16, 12)


@sound
def log_softmax_head() -> Built:
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 10), nn.LogSoftmax(dim=-1)), torch.randn(16, 12)
