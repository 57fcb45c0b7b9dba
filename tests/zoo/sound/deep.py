"""Sound models that are deep: what keeps a signal alive over many layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


@sound
def he_50_layers() -> Built:
    layers: list[nn.Module] = []
    for _ in range(50):
        layer = nn.Linear(64, 64)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10)), torch.randn(32, 64)


@sound
def orthogonal_tanh_30_layers() -> Built:
    layers: list[nn.Module] = []
    for _ in range(30):
        layer = nn.Linear(64, 64)
        nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(64, 10)), torch.randn(32, 64)


@sound
def selu_20_layers() -> Built:
    """Self-normalising: LeCun initialisation and SELU (Klambauer et al. 2017)."""
    layers: list[nn.Module] = []
    for _ in range(20):
        layer = nn.Linear(64, 64)
        nn.init.normal_(layer.weight, std=1 / 8)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.SELU(), nn.AlphaDropout(0.05)]
    return nn.Sequential(*layers, nn.Linear(64, 10)), torch.randn(32, 64)


@sound
def batch_norm_30_layers() -> Built:
    layers: list[nn.Module] = []
    for _ in range(30):
        layers += [nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10)), torch.randn(64, 64)


@sound
def layer_norm_40_layers() -> Built:
    layers: list[nn.Module] = []
    for _ in range(40):
        layers += [nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10)), torch.randn(16, 64)


@sound
def pre_norm_transformer_24_layers() -> Built:
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 24, norm=nn.LayerNorm(32), enable_nested_tensor=False), torch.randn(8, 8, 32)


@sound
def post_norm_transformer_12_layers() -> Built:
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 12, enable_nested_tensor=False), torch.randn(8, 8, 32)


class PreActivation(nn.Module):
    """A pre-activation residual block (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))


@sound
def resnet_50_blocks() -> Built:
    stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    head = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return nn.Sequential(stem, *(PreActivation(8) for _ in range(50)), head), torch.randn(16, 3, 8, 8)


@sound
def lenet_sigmoid_shallow() -> Built:
    """Two sigmoid layers: slow, but nothing vanishes."""
    return nn.Sequential(nn.Linear(12, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 4)), torch.randn(
        32, 12
    )


@sound
def default_init_relu_8_layers() -> Built:
    """torch's default initialisation, eight layers: flatter than He, still trained by everybody."""
    layers: list[nn.Module] = [nn.Linear(20, 64), nn.ReLU()]
    for _ in range(6):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 5)), torch.randn(64, 20)
