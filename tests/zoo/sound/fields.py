"""Sound implicit models: force fields, equilibria, differential equations, coordinates to values."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class Score(nn.Module):
    """A force field as the gradient of an energy, taken inside forward: energy's last bias never matters."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            return -torch.autograd.grad(self.net(x).sum(), x, create_graph=True)[0]


@sound
def force_field() -> Built:
    return Score(), torch.randn(32, 4)


class DEQ(nn.Module):
    """A fixed point found without a graph; one step with a graph gives its gradient (Bai et al. 2019, Fung et al. 2021)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.enter = nn.Linear(10, width)
        self.inner = nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(self.inner.weight, gain=0.5)
        self.leave = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        injected = self.enter(x)
        with torch.no_grad():
            z = torch.zeros_like(injected)
            for _ in range(20):
                z = torch.tanh(self.inner(z) + injected)
        return self.leave(torch.tanh(self.inner(z) + injected))


@sound
def deep_equilibrium() -> Built:
    return DEQ(), torch.randn(32, 10)


class PINN(nn.Module):
    """The residual of the heat equation and its boundary: two derivatives inside forward (Raissi et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(2, 24), nn.Tanh()]
        for _ in range(3):
            layers += [nn.Linear(24, 24), nn.Tanh()]
        self.net = nn.Sequential(*layers, nn.Linear(24, 1))
        for module in self.net:
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, points: Tensor) -> Tensor:
        points = points.clone().requires_grad_(True)
        u = self.net(points)
        (first,) = torch.autograd.grad(u.sum(), points, create_graph=True)
        u_t, u_x = first[:, 0], first[:, 1]
        u_xx = torch.autograd.grad(u_x.sum(), points, create_graph=True)[0][:, 1]
        start = torch.stack((torch.zeros_like(points[:, 1]), points[:, 1]), dim=1)
        boundary = self.net(start).squeeze(1) - torch.sin(math.pi * points[:, 1])
        return (u_t - 0.1 * u_xx).pow(2).mean() + boundary.pow(2).mean()


@sound
def pinn() -> Built:
    return PINN(), torch.rand(64, 2)


class Sine(nn.Module):
    """sin(30 (W x + b)) with the initialisation that keeps its distribution (Sitzmann et al. 2020)."""

    def __init__(self, inside: int, outside: int, first: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inside, outside)
        bound = 1 / inside if first else math.sqrt(6 / inside) / 30
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30 * self.linear(x))


@sound
def siren() -> Built:
    return nn.Sequential(Sine(2, 64, first=True), Sine(64, 64), Sine(64, 64), nn.Linear(64, 3)), torch.rand(128, 2) * 2 - 1


class NeRF(nn.Module):
    """Encoded positions and directions to density and colour, composited along rays (Mildenhall et al. 2020)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(36, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(width + 36, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.density = nn.Linear(width, 1)
        self.colour = nn.Sequential(nn.Linear(width + 12, width // 2), nn.ReLU(), nn.Linear(width // 2, 3), nn.Sigmoid())

    @staticmethod
    def encode(x: Tensor, octaves: int) -> Tensor:
        angle = (x.unsqueeze(-1) * (2.0 ** torch.arange(octaves))).flatten(-2)
        return torch.cat((angle.sin(), angle.cos()), dim=-1)

    def forward(self, origin: Tensor, direction: Tensor) -> Tensor:
        depth = torch.linspace(0.5, 2.5, 16)
        points = self.encode(origin[:, None] + depth[:, None] * direction[:, None], 6)
        h = self.second(torch.cat((self.first(points), points), dim=-1))
        view = self.encode(direction, 2)[:, None].expand(-1, 16, -1)
        opacity = 1 - torch.exp(-F.softplus(self.density(h).squeeze(-1)) * (depth[1] - depth[0]))
        clear = torch.cumprod(torch.cat((torch.ones_like(opacity[:, :1]), 1 - opacity[:, :-1] + 1e-10), dim=1), dim=1)
        return ((opacity * clear).unsqueeze(-1) * self.colour(torch.cat((h, view), dim=-1))).sum(1)


@sound
def nerf() -> Built:
    return NeRF(), (0.1 * torch.randn(32, 3), F.normalize(torch.randn(32, 3), dim=-1))
