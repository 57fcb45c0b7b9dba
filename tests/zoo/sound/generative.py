"""Sound generative models: adversaries, flows, energies, diffusion."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


@sound
def gan_generator() -> Built:
    """DCGAN's generator: transposed convolutions, BatchNorm, weights N(0, 0.02), a tanh at the end (Radford et al. 2015)."""
    model = nn.Sequential(
        nn.Unflatten(1, (32, 1, 1)),
        nn.ConvTranspose2d(32, 64, 4, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(True),
        nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(True),
        nn.ConvTranspose2d(32, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    model.apply(dcgan_init)
    return model, torch.randn(32, 32)


def dcgan_init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


@sound
def gan_discriminator() -> Built:
    """DCGAN's discriminator, with the sigmoid that its loss expects."""
    model = nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(32, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(64, 1, 4, bias=False),
        nn.Flatten(),
        nn.Sigmoid(),
    )
    model.apply(dcgan_init)
    return model, torch.rand(32, 3, 16, 16) * 2 - 1


class Coupling(nn.Module):
    """An affine coupling whose last layer begins at 0: the identity (Dinh et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width // 2, 32), nn.ReLU(), nn.Linear(32, width))
        nn.init.zeros_(self.net[2].weight)
        nn.init.zeros_(self.net[2].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, changed = x.chunk(2, dim=1)
        log_scale, shift = self.net(kept).chunk(2, dim=1)
        log_scale = torch.tanh(log_scale)
        return torch.cat((changed * log_scale.exp() + shift, kept), dim=1), log_scale.sum(1)


class RealNVP(nn.Module):
    """Negative log-likelihood under a chain of couplings."""

    def __init__(self, width: int = 8, depth: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Coupling(width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(x.shape[0])
        for layer in self.layers:
            x, log_determinant = layer(x)
            total = total + log_determinant
        return (0.5 * (x**2).sum(1) + 0.5 * x.shape[1] * math.log(2 * math.pi) - total).mean()


@sound
def normalising_flow() -> Built:
    return RealNVP(), 2 * torch.randn(32, 8) + 1


class Energy(nn.Module):
    """Contrastive divergence of an energy: the bias of its last layer cancels."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, data: Tensor, noise: Tensor) -> Tensor:
        return self.net(data).mean() - self.net(noise).mean()


@sound
def energy_net() -> Built:
    return Energy(), (torch.randn(32, 8) + 1, torch.randn(32, 8))


class Denoiser(nn.Module):
    """Noise added inside forward, a U-shaped net, its own loss (Ho et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU())
        self.middle = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.SiLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(32, 16, 2, stride=2), nn.GroupNorm(4, 16), nn.SiLU())
        self.time = nn.Linear(1, 32)
        self.out = nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        t = torch.rand(x.shape[0], 1)
        noise = torch.randn_like(x)
        a = torch.cos(t * math.pi / 2)[..., None, None]
        high = self.down(a * x + (1 - a**2).sqrt() * noise)
        low = self.middle(high) + self.time(t)[..., None, None]
        return F.mse_loss(self.out(torch.cat((high, self.up(low)), dim=1)), noise)


@sound
def diffusion() -> Built:
    return Denoiser(), torch.randn(16, 1, 8, 8)
