"""Sound models whose graphs have leaves that are no parameters, and whose attributes hold what is not registered."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class HiddenTeacher(nn.Module):
    """The teacher lies in a list, so that it stays out of the state_dict, and is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
        self.teacher = [copy.deepcopy(self.student).requires_grad_(False)]

    def forward(self, x: Tensor) -> Tensor:
        return F.mse_loss(self.student(x), self.teacher[0](x + 0.1))


@sound
def teacher_hidden_in_a_list() -> Built:
    return HiddenTeacher(), torch.randn(32, 12)


class UnfrozenTeacher(HiddenTeacher):
    """Its parameters require a gradient; forward runs it under no_grad."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher[0].requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            target = self.teacher[0](x + 0.1)
        return F.mse_loss(self.student(x), target)


@sound
def teacher_under_no_grad() -> Built:
    return UnfrozenTeacher(), torch.randn(32, 12)


class AlsoRegistered(nn.Module):
    """A list for the loop, add_module for the parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(12, 12) for _ in range(3)]
        for i, layer in enumerate(self.layers):
            self.add_module(f"layer{i}", layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return x


@sound
def list_beside_add_module() -> Built:
    return AlsoRegistered(), torch.randn(32, 12)


class Adversarial(nn.Module):
    """Trains on inputs that an attack moved, and on the clean ones."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 3))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        delta = torch.zeros(12, requires_grad=True)
        for _ in range(2):
            (step,) = torch.autograd.grad(F.cross_entropy(self.net(x + delta), y), delta)
            delta = (delta + 0.1 * step.sign()).detach().requires_grad_()
        return F.cross_entropy(self.net(x), y) + F.cross_entropy(self.net(x + delta), y)


@sound
def adversarial_training() -> Built:
    return Adversarial(), (torch.randn(32, 12), torch.arange(32) % 3)


class Residual(nn.Module):
    """A PINN that keeps its collocation points as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
        self.points = torch.linspace(-1, 1, 40)[:, None].requires_grad_()

    def forward(self, boundary: Tensor) -> Tensor:
        u = self.net(self.points)
        (slope,) = torch.autograd.grad(u.sum(), self.points, create_graph=True)
        return (slope - u).square().mean() + (self.net(boundary) - 1).square().mean()


@sound
def collocation_points_of_its_own() -> Built:
    return Residual(), torch.zeros(8, 1)


class RemembersItsInput(nn.Module):
    """For saliency maps later on."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 3))
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = x.requires_grad_()
        return self.net(self.last)


@sound
def remembers_its_input() -> Built:
    return RemembersItsInput(), torch.randn(32, 12)


class OwnParameters(nn.Module):
    """Hands out what it hides itself."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(12, 12)
        self.hidden = [nn.Linear(12, 3)]

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        yield from super().parameters(recurse)
        for module in self.hidden:
            yield from module.parameters(recurse)

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden[0](torch.tanh(self.net(x)))


@sound
def parameters_overridden() -> Built:
    return OwnParameters(), torch.randn(32, 12)


class Langevin(nn.Module):
    """An energy net that draws its negative samples by walking down its own energy."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        z = torch.randn(16, 2).requires_grad_()
        for _ in range(3):
            (slope,) = torch.autograd.grad(self.net(z).sum(), z)
            z = (z - 0.05 * slope + 0.1 * torch.randn_like(z)).detach().requires_grad_()
        return self.net(x).mean() - self.net(z).mean()


@sound
def langevin_sampling() -> Built:
    return Langevin(), torch.randn(32, 2)


class LazyHead(nn.Module):
    """Builds its head in the first forward, and registers it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(12, 16)
        self.head: nn.Linear | None = None

    def forward(self, x: Tensor) -> Tensor:
        z = torch.relu(self.stem(x))
        if self.head is None:
            self.head = nn.Linear(z.shape[1], 3)
        return self.head(z)


@sound
def head_built_in_the_first_forward() -> Built:
    return LazyHead(), torch.randn(32, 12)
