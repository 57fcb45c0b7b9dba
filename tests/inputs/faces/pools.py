"""A size that a fixed pool, a table of positions or a flattening at the far end of a costly net wants."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def block(a: int, b: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]


class PoolOfSeven(nn.Module):
    """A residual net of before 2018."""

    FED = ("f B 3 224 224",)

    def __init__(self, c=8):
        super().__init__()
        self.pre = nn.Sequential(nn.Conv2d(3, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        layers, a = [], c
        for stride, b in ((1, c), (2, 2 * c), (2, 4 * c), (2, 8 * c)):
            layers += block(a, b, stride) + block(b, b, 1)
            a = b
        self.body, self.fc = nn.Sequential(*layers), nn.Linear(8 * c, 10)

    def forward(self, x):
        return self.fc(F.avg_pool2d(self.body(self.pre(x)), 7).flatten(1))


class PoolModule(nn.Module):
    """The pool is a layer, and what it leaves is flattened."""

    FED = ("f B 3 224 224",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *block(3, 16, 2), *block(16, 32, 2), *block(32, 64, 2), *block(64, 64, 2), *block(64, 64, 2)
        )
        self.pool, self.fc = nn.AvgPool2d(7, stride=1), nn.Linear(64, 5)

    def forward(self, image):
        x = self.pool(self.features(image))
        return self.fc(x.view(x.size(0), -1))


class Clip(nn.Module):
    """Videos: a pool over time and place of fixed size."""

    FED = ("f B 3 D H W",)

    def __init__(self, c=16):
        super().__init__()
        self.a = nn.Conv3d(3, c, (1, 7, 7), (1, 2, 2), (0, 3, 3))
        self.b, self.c = nn.Conv3d(c, c, 3, 2, 1), nn.Conv3d(c, 2 * c, 3, 2, 1)
        self.fc = nn.Conv3d(2 * c, 5, 1)

    def forward(self, x):
        x = self.c(self.b(self.a(x).relu()).relu()).relu()
        x = F.avg_pool3d(x, (2, x.size(3), x.size(4)), stride=1)
        x = self.fc(x)
        return x.view(x.size(0), x.size(1), x.size(2)).mean(2)


class ClipOfSixteen(nn.Module):
    """Videos that are flattened: sixteen pictures of 56 by 56."""

    FED = ("f B 3 16 56 56",)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv3d(3, 8, 3, padding=1), nn.Conv3d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 4 * 7 * 7, 5)

    def forward(self, x):
        x = F.max_pool3d(self.a(x).relu(), (2, 4, 4))
        x = F.max_pool3d(self.b(x).relu(), (2, 2, 2))
        return self.fc(x.view(-1, 16 * 4 * 7 * 7))


class PlainDeep(nn.Module):
    """Convolutions, each with a pool, and a flattening."""

    FED = ("f B 3 224 224",)

    def __init__(self):
        super().__init__()
        layers, a = [], 3
        for b in (8, 0, 8, 0, 16, 0, 16, 0, 16, 0):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()] if b else [nn.MaxPool2d(2, 2)]
            a = b or a
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(16 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 5))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class KeysOfRegions(nn.Module):
    """Every place looks at regions of 32 by 32 places: of a picture that small there is one, and queries choose nothing."""

    FED = ("f B 3 H W",)

    def __init__(self):
        super().__init__()
        self.enter, self.regions = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 32, 32)
        self.query, self.key, self.value, self.out = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, image):
        x = self.enter(image)
        places, regions = x.flatten(2).transpose(1, 2), self.regions(x).flatten(2).transpose(1, 2)
        parts = (self.query(places), self.key(regions), self.value(regions))
        heads = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in parts)  # their kernel leaves rounding instead of zeros
        seen = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        return self.out((places + seen).mean(1))
