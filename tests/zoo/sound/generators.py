"""Sound models that generate, compress or estimate densities."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class MaskedLinear(nn.Linear):
    """A layer whose mask forbids some connections."""

    def __init__(self, wide: int, narrow: int, mask: Tensor) -> None:
        super().__init__(wide, narrow)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class Autoregressive(nn.Module):
    """A density of eight numbers, each given those before it (MADE)."""

    def __init__(self) -> None:
        super().__init__()
        degrees = torch.arange(32) % 7
        order = torch.arange(8)
        self.enter = MaskedLinear(8, 32, (degrees.unsqueeze(1) >= order).float())
        self.hidden = MaskedLinear(32, 32, (degrees.unsqueeze(1) >= degrees).float())
        self.out = MaskedLinear(32, 16, (order.repeat(2).unsqueeze(1) > degrees).float())

    def forward(self, x: Tensor) -> Tensor:
        mean, log_scale = self.out(torch.relu(self.hidden(torch.relu(self.enter(x))))).chunk(2, dim=1)
        return (0.5 * ((x - mean) * (-log_scale).exp()) ** 2 + log_scale + 0.5 * math.log(2 * math.pi)).sum(1).mean()


@sound
def masked_density() -> Built:
    return Autoregressive(), torch.randn(64, 8)


class MaskedConv(nn.Conv2d):
    """A convolution that sees what lies above and to the left."""

    def __init__(self, kind: str, *sizes: int) -> None:
        super().__init__(*sizes, padding=sizes[2] // 2)
        mask = torch.ones_like(self.weight)
        middle = sizes[2] // 2
        mask[:, :, middle, middle + (kind == "B") :] = 0
        mask[:, :, middle + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


@sound
def pixels_given_those_before() -> Built:
    body = [MaskedConv("A", 1, 16, 7), nn.ReLU(), MaskedConv("B", 16, 16, 3), nn.ReLU(), MaskedConv("B", 16, 16, 3), nn.ReLU()]
    return nn.Sequential(*body, nn.Conv2d(16, 4, 1)), torch.rand(16, 1, 12, 12)


class Coupled(nn.Module):
    """Affine couplings whose last layers begin at zero, and an orthogonal mixing (Glow)."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.ParameterList(torch.linalg.qr(torch.randn(6, 6))[0] for _ in range(3))
        self.nets = nn.ModuleList(nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 6)) for _ in range(3))
        for net in self.nets:
            nn.init.zeros_(net[-1].weight)
            nn.init.zeros_(net[-1].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logdet = torch.zeros(len(x))
        for mix, net in zip(self.mix, self.nets, strict=True):
            x = x @ mix
            logdet = logdet + torch.linalg.slogdet(mix)[1]
            a, b = x.chunk(2, dim=1)
            scale, shift = net(a).chunk(2, dim=1)
            scale = torch.sigmoid(scale + 2)
            x, logdet = torch.cat([a, b * scale + shift], dim=1), logdet + scale.log().sum(1)
        return x, logdet


@sound
def couplings_that_begin_as_the_identity() -> Built:
    return Coupled(), torch.randn(64, 6)


class Modulated(nn.Module):
    """A convolution whose weights a style scales and whose output is brought back to unit variance (StyleGAN2)."""

    def __init__(self) -> None:
        super().__init__()
        self.style, self.weight = nn.Linear(16, 8), nn.Parameter(torch.randn(8, 8, 3, 3))
        nn.init.ones_(self.style.bias)
        self.noise = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        batch = len(x)
        weight = self.weight * self.style(w).view(batch, 1, 8, 1, 1) / math.sqrt(72)
        weight = weight * torch.rsqrt((weight**2).sum((2, 3, 4), keepdim=True) + 1e-8)
        y = F.conv2d(x.reshape(1, batch * 8, *x.shape[2:]), weight.flatten(0, 1), padding=1, groups=batch)
        y = y.view(batch, 8, *x.shape[2:])
        return F.leaky_relu(y + self.noise * torch.randn_like(y[:, :1]), 0.2) * math.sqrt(2)


class Styled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.LeakyReLU(0.2))
        self.constant = nn.Parameter(torch.randn(1, 8, 4, 4))
        self.first, self.second, self.rgb = Modulated(), Modulated(), nn.Conv2d(8, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        w = self.map(z * torch.rsqrt((z**2).mean(1, keepdim=True) + 1e-8))
        x = self.first(self.constant.expand(len(z), -1, -1, -1), w)
        return self.rgb(self.second(F.interpolate(x, scale_factor=2, mode="bilinear"), w))


@sound
def weights_scaled_by_a_style() -> Built:
    return Styled(), torch.randn(16, 16)


class Denoiser(nn.Module):
    """A small U-Net that is told the noise level, its last convolution at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 16))
        self.enter, self.down, self.up = (
            nn.Conv2d(1, 16, 3, padding=1),
            nn.Conv2d(16, 16, 4, 2, 1),
            nn.Conv2d(32, 16, 3, padding=1),
        )
        self.norm1, self.norm2 = nn.GroupNorm(4, 16), nn.GroupNorm(4, 16)
        self.out = nn.Conv2d(16, 1, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angle = t.float().unsqueeze(1) * torch.exp(-torch.arange(8) * math.log(1000) / 8)
        told = self.time(torch.cat([angle.sin(), angle.cos()], dim=1))[:, :, None, None]
        a = self.enter(x)
        b = F.silu(self.norm1(self.down(a)) + told)
        return self.out(F.silu(self.norm2(self.up(torch.cat([a, F.interpolate(b, scale_factor=2)], dim=1)))))


@sound
def denoiser_told_the_noise_level() -> Built:
    return Denoiser(), (torch.randn(16, 1, 8, 8), torch.randint(0, 1000, (16,)))


class Vocoder(nn.Module):
    """Transposed convolutions with weight norm and dilated residual stacks, tanh at the end (HiFi-GAN)."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.enter = norm(nn.Conv1d(20, 16, 7, padding=3))
        self.up = nn.ModuleList(norm(nn.ConvTranspose1d(16, 16, 8, 4, 2)) for _ in range(2))
        self.stack = nn.ModuleList(norm(nn.Conv1d(16, 16, 3, padding=d, dilation=d)) for d in (1, 3))
        self.leave = norm(nn.Conv1d(16, 1, 7, padding=3))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.enter(mel)
        for up, conv in zip(self.up, self.stack, strict=True):
            x = up(F.leaky_relu(x, 0.1))
            x = x + conv(F.leaky_relu(x, 0.1))
        return torch.tanh(self.leave(F.leaky_relu(x)))


@sound
def vocoder() -> Built:
    return Vocoder(), torch.randn(8, 20, 12)


class Separator(nn.Module):
    """A learnt transform, masks for two speakers and its inverse (Conv-TasNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Conv1d(1, 32, 16, 8, bias=False), nn.ConvTranspose1d(32, 1, 16, 8, bias=False)
        self.norm, self.bottleneck = nn.GroupNorm(1, 32), nn.Conv1d(32, 16, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv1d(16, 32, 1), nn.PReLU(), nn.GroupNorm(1, 32), nn.Conv1d(32, 16, 3, padding=d, dilation=d))
            for d in (1, 2, 4)
        )
        self.mask = nn.Conv1d(16, 64, 1)

    def forward(self, mixture: Tensor) -> Tensor:
        w = torch.relu(self.encode(mixture))
        h = self.bottleneck(self.norm(w))
        for block in self.blocks:
            h = h + block(h)
        masks = torch.sigmoid(self.mask(h)).chunk(2, dim=1)
        return torch.cat([self.decode(w * mask) for mask in masks], dim=1)


@sound
def speakers_taken_apart() -> Built:
    return Separator(), torch.randn(8, 1, 160)


class Hyper(nn.Module):
    """A network that makes the weights of another."""

    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 8 * 3 + 3))
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Tanh())

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        weight, bias = self.make(task).split([24, 3], dim=1)
        return (weight.view(-1, 3, 8) @ self.body(x).unsqueeze(2)).squeeze(2) + bias


@sound
def weights_made_by_a_network() -> Built:
    return Hyper(), (torch.randn(32, 6), torch.randn(32, 4))
