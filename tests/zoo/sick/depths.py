"""Sick models through which the gradient fades or grows, in depth, in time and in one step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick


def chain(widths: list[int], activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide, narrow in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(wide, narrow), activation()]
    return nn.Sequential(*layers[:-1])


@sick("vanishing-gradient")
def autoencoder_of_sigmoids() -> Built:
    return chain([64, 48, 32, 24, 16, 8, 16, 24, 32, 48, 64], nn.Sigmoid), torch.rand(64, 64)


class Softmaxes(nn.Module):
    """Softmax as the activation of hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(6))
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.softmax(layer(x), dim=1)
        return self.head(x)


@sick("vanishing-gradient")
def softmax_as_a_hidden_activation() -> Built:
    return Softmaxes(), torch.randn(64, 32)


@sick("vanishing-gradient")
def std_of_gpt_in_a_plain_net() -> Built:
    model = chain([64] * 21 + [8], nn.GELU)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
    return model, torch.randn(64, 64)


class Gates(nn.Module):
    """Gates multiplied on one another: each lets half of it through."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.gates = nn.Linear(16, 32), nn.ModuleList(nn.Linear(32, 32) for _ in range(24))
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for gate in self.gates:
            h = h * torch.sigmoid(gate(h))
        return self.head(h)


@sick("vanishing-gradient")
def gates_multiplied_24_times() -> Built:
    return Gates(), torch.randn(64, 16)


@sick("vanishing-gradient")
def convolutions_without_skips_and_norms() -> Built:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()]
    for _ in range(24):
        layers += [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)), torch.randn(16, 3, 16, 16)


class Uniform(nn.Module):
    """Weights straight from torch.rand."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(48, 48, bias=False) for _ in range(7))
        self.head = nn.Linear(48, 3)
        for layer in self.layers:
            layer.weight = nn.Parameter(torch.rand(48, 48))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)


@sick("exploding-gradient")
def weights_from_torch_rand() -> Built:
    return Uniform(), torch.rand(64, 48)


class Crowd(nn.Module):
    """Sums over all neighbours, and everybody is one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(6))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(adjacency @ x))
        return self.head(x)


@sick("exploding-gradient", batch_axis=None, data="a dense graph")
def sums_over_two_hundred_neighbours() -> Built:
    return Crowd(), (torch.randn(200, 16), torch.ones(200, 200))


class Doubling(nn.Module):
    """h + f(h), and f begins as large as h."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(8, 32), nn.Linear(32, 4)
        self.blocks = nn.ModuleList(nn.Linear(32, 32) for _ in range(20))
        for block in self.blocks:
            nn.init.normal_(block.weight, std=math.sqrt(8 / 32))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for block in self.blocks:
            h = h + F.leaky_relu(block(h), 0.2)
        return self.head(h)


@sick("exploding-gradient")
def steps_without_a_step_size() -> Built:
    return Doubling(), torch.randn(64, 8)


class Soft(nn.Module):
    """A softmax over the state at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.again, self.head = nn.Linear(8, 24), nn.Linear(24, 24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 24)
        for t in range(x.shape[1]):
            h = F.softmax(self.enter(x[:, t]) + self.again(h), dim=1)
        return self.head(h)


@sick("vanishing-through-time", "again", "")
def softmax_on_the_state() -> Built:
    return Soft(), torch.randn(32, 30, 8)


class Leaking(nn.Module):
    """A leak of 0.9 where a memory of 0.9 was meant."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.again, self.head = nn.Linear(6, 24), nn.Linear(24, 24), nn.Linear(24, 4)
        nn.init.orthogonal_(self.again.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 24)
        for t in range(x.shape[1]):
            h = 0.1 * torch.tanh(self.enter(x[:, t]) + self.again(h))
        return self.head(h)


@sick("vanishing-through-time", "again", "")
def leak_and_memory_exchanged() -> Built:
    return Leaking(), torch.randn(32, 40, 6)


class Euler(nn.Module):
    """Euler's method with a step of one, for forty steps."""

    def __init__(self) -> None:
        super().__init__()
        self.rate, self.head = nn.Linear(16, 16), nn.Linear(16, 4)
        nn.init.normal_(self.rate.weight, std=0.3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 16)
        for t in range(x.shape[1]):
            h = h + self.rate(h) + x[:, t]
        return self.head(h)


@sick("exploding-through-time", "rate", "", synonyms={"exploding-gradient": "the steps are layers, too"})
def euler_with_a_step_of_one() -> Built:
    return Euler(), torch.randn(16, 40, 16)


class Late(nn.Module):
    """Two branches are added, and one of them was given a tiny start."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 16))
        self.text = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 4)
        with torch.no_grad():
            for parameter in self.text.parameters():
                parameter.mul_(1e-3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(self.image(a) + self.text(b))


@sick("unbalanced-gradient", "text", "")
def late_fusion_of_a_tiny_branch() -> Built:
    return Late(), (torch.randn(32, 24), torch.randn(32, 24))
