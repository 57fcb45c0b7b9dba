"""Sound models of images, as papers and libraries write them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


def conv(c: int, k: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c, k, 3, stride, 1, groups=groups, bias=False), nn.BatchNorm2d(k), nn.ReLU())


class Transformed(nn.Module):
    """A spatial transformer whose last layer begins as the identity (Jaderberg et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.locate = nn.Sequential(conv(1, 8, 2), conv(8, 8, 2), nn.Flatten(), nn.Linear(8 * 16, 16), nn.ReLU())
        self.theta = nn.Linear(16, 6)
        nn.init.zeros_(self.theta.weight)
        with torch.no_grad():
            self.theta.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
        self.classify = nn.Sequential(conv(1, 8, 2), conv(8, 16, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))

    def forward(self, x: Tensor) -> Tensor:
        theta = self.theta(self.locate(x)).view(-1, 2, 3)
        return self.classify(F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False))


@sound
def spatial_transformer() -> Built:
    return Transformed(), torch.randn(16, 1, 16, 16)


class NonLocal(nn.Module):
    """A non-local block whose last norm begins at zero (Wang et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv2d(16, 8, 1) for _ in range(3))
        self.out = nn.Sequential(nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16))
        nn.init.zeros_(self.out[1].weight)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).flatten(2) for f in (self.theta, self.phi, self.g))
        y = v @ F.softmax(q.transpose(1, 2) @ k, dim=-1).transpose(1, 2)
        return x + self.out(y.view(len(x), 8, *x.shape[2:]))


@sound
def non_local_block() -> Built:
    return nn.Sequential(conv(3, 16), NonLocal(), conv(16, 16, 2), nn.Flatten(), nn.Linear(16 * 16, 4)), torch.randn(
        16, 3, 8, 8
    )


class SelfAttention(nn.Module):
    """Attention with a factor that begins at zero (SAGAN)."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        self.q, self.k, self.v = (norm(nn.Conv2d(16, c, 1)) for c in (4, 4, 16))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).flatten(2) for f in (self.q, self.k, self.v))
        return x + self.gamma * (v @ F.softmax(q.transpose(1, 2) @ k, dim=-1).transpose(1, 2)).view_as(x)


@sound
def attention_gated_by_a_zero() -> Built:
    norm = nn.utils.parametrizations.spectral_norm
    body = [norm(nn.Conv2d(3, 16, 4, 2, 1)), nn.LeakyReLU(0.2), SelfAttention(), norm(nn.Conv2d(16, 16, 4, 2, 1))]
    return nn.Sequential(*body, nn.LeakyReLU(0.2), nn.Flatten(), norm(nn.Linear(256, 1))), torch.randn(16, 3, 16, 16)


class Squeezed(nn.Module):
    """Channel and spatial attention (CBAM)."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))
        x = x * weights[:, :, None, None]
        return x * torch.sigmoid(self.spatial(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)))


@sound
def channel_and_spatial_attention() -> Built:
    body = [conv(3, 16), Squeezed(), conv(16, 16, 2), Squeezed(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)]
    return nn.Sequential(*body), torch.randn(16, 3, 16, 16)


class Pyramid(nn.Module):
    """A feature pyramid with a head for classes and one for boxes at each level, focal bias and all (RetinaNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.c3, self.c4, self.c5 = conv(3, 16, 2), conv(16, 32, 2), conv(32, 64, 2)
        self.lateral = nn.ModuleList(nn.Conv2d(c, 16, 1) for c in (16, 32, 64))
        self.smooth = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(3))
        self.classes, self.boxes = nn.Conv2d(16, 5 * 3, 3, padding=1), nn.Conv2d(16, 4 * 3, 3, padding=1)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.constant_(self.classes.bias, -4.595)
        nn.init.normal_(self.boxes.weight, std=0.01)

    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        c3 = self.c3(x)
        c4 = self.c4(c3)
        levels = [lateral(c) for lateral, c in zip(self.lateral, (c3, c4, self.c5(c4)), strict=True)]
        for i in (1, 0):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], scale_factor=2)
        levels = [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]
        return {"classes": [self.classes(level) for level in levels], "boxes": [self.boxes(level) for level in levels]}


@sound
def feature_pyramid_with_focal_bias() -> Built:
    return Pyramid(), torch.randn(8, 3, 32, 32)


class Deformable(nn.Module):
    """A convolution at offsets that begin at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.offset, self.conv = nn.Conv2d(8, 2, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        theta = torch.eye(2, 3).expand(len(x), 2, 3)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False) + self.offset(x).permute(0, 2, 3, 1) / x.shape[-1]
        return torch.relu(self.conv(F.grid_sample(x, grid, align_corners=False)))


@sound
def offsets_that_begin_at_zero() -> Built:
    return nn.Sequential(conv(1, 8), Deformable(), nn.Flatten(), nn.Linear(8 * 64, 4)), torch.randn(16, 1, 8, 8)


class Inverted(nn.Module):
    """An inverted residual with squeeze and excitation and hard swish (MobileNetV3)."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(16, 48, 1, bias=False), nn.BatchNorm2d(48), nn.Hardswish())
        self.depthwise = nn.Sequential(
            nn.Conv2d(48, 48, 3, padding=1, groups=48, bias=False), nn.BatchNorm2d(48), nn.Hardswish()
        )
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(48, 12, 1), nn.ReLU(), nn.Conv2d(12, 48, 1), nn.Hardsigmoid()
        )
        self.project = nn.Sequential(nn.Conv2d(48, 16, 1, bias=False), nn.BatchNorm2d(16))

    def forward(self, x: Tensor) -> Tensor:
        h = self.depthwise(self.expand(x))
        return x + self.project(h * self.excite(h))


@sound
def inverted_residuals_with_hard_swish() -> Built:
    body = [conv(3, 16, 2), Inverted(), Inverted(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 4)]
    return nn.Sequential(*body), torch.randn(16, 3, 16, 16)


class Maxout(nn.Module):
    """The largest of four linear pieces (Goodfellow et al. 2013)."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.pieces = nn.Linear(wide, 4 * narrow)

    def forward(self, x: Tensor) -> Tensor:
        return self.pieces(x).view(len(x), -1, 4).amax(2)


@sound
def maxout() -> Built:
    return nn.Sequential(Maxout(20, 32), Maxout(32, 32), nn.Linear(32, 4)), torch.randn(64, 20)


@sound
def concatenated_relus() -> Built:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([F.relu(x), F.relu(-x)], dim=1)

    body = [nn.Conv2d(1, 8, 3, padding=1), Both(), nn.Conv2d(16, 8, 3, 2, 1), Both(), nn.Flatten(), nn.Linear(16 * 25, 3)]
    return nn.Sequential(*body), torch.randn(16, 1, 10, 10)


class Masked(nn.Module):
    """A masked autoencoder: three quarters of the patches are dropped, a token stands for them."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.unpatch = nn.Linear(16, 32), nn.Linear(32, 16)
        self.positions = nn.Parameter(torch.randn(1, 16, 32) * 0.02)
        self.token = nn.Parameter(torch.randn(1, 1, 32) * 0.02)
        make = lambda: nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)  # noqa: E731
        self.encoder, self.decoder = make(), make()

    def forward(self, patches: Tensor) -> Tensor:
        order = torch.rand(patches.shape[:2]).argsort(1)
        kept = order[:, :4, None].expand(-1, -1, 32)
        h = self.encoder((self.patch(patches) + self.positions).gather(1, kept))
        full = self.token.expand(len(patches), 16, 32).scatter(1, kept, h)
        out = self.unpatch(self.decoder(full + self.positions))
        hidden = torch.ones(patches.shape[:2]).scatter(1, order[:, :4], 0.0)
        return (((out - patches) ** 2).mean(2) * hidden).sum() / hidden.sum()


@sound
def masked_autoencoder() -> Built:
    return Masked(), torch.randn(16, 16, 16)
