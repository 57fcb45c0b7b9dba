"""Sick models whose gradient vanishes or explodes on its way back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick


def chain(depth: int, width: int, activation: type[nn.Module]) -> nn.Sequential:
    """depth x (Linear, activation), and a head."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def weights(model: nn.Module, std: float) -> nn.Module:
    """Every weight N(0, std), every bias 0."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=std)
        else:
            nn.init.zeros_(parameter)
    return model


def batch(width: int = 64) -> Tensor:
    return torch.randn(64, width)


@sick("vanishing-gradient")
def sigmoid_10_layers() -> Built:
    return chain(10, 64, nn.Sigmoid), batch()


@sick("vanishing-gradient")
def sigmoid_xavier_12_layers() -> Built:
    model = chain(12, 64, nn.Sigmoid)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_normal_(parameter)
    return model, batch()


@sick("vanishing-gradient")
def relu_weights_of_one_percent() -> Built:
    return weights(chain(10, 64, nn.ReLU), 0.01), batch()


@sick("vanishing-gradient")
def tanh_weights_of_one_percent() -> Built:
    return weights(chain(12, 64, nn.Tanh), 0.01), batch()


@sick("vanishing-gradient")
def default_init_relu_30_layers() -> Built:
    return chain(30, 64, nn.ReLU), batch()


@sick("vanishing-gradient")
def default_init_tanh_40_layers() -> Built:
    return chain(40, 64, nn.Tanh), batch()


@sick("vanishing-gradient")
def linear_xavier_gain_of_a_half() -> Built:
    """A deep linear net, half of the gain that keeps the norm."""
    model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(20)), nn.Linear(64, 10))
    for layer in model[:-1]:
        nn.init.orthogonal_(layer.weight, gain=0.5)
    return model, batch()


def plain_convolutions(activation: type[nn.Module], depth: int = 9) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1), activation()]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(32, 32, 3, padding=1), activation()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


@sick("vanishing-gradient")
def convolutions_std_one_percent() -> Built:
    """The initialisation of which He et al. (2015) showed that it stalls."""
    return weights(plain_convolutions(nn.ReLU), 0.01), torch.randn(16, 3, 12, 12)


@sick("vanishing-gradient")
def sigmoid_convolutions() -> Built:
    return plain_convolutions(nn.Sigmoid), torch.randn(16, 3, 12, 12)


class Unrolled(nn.Module):
    """An encoder whose code passes one recurrent layer many times before anything is read."""

    def __init__(self, cell: nn.Module, steps: int) -> None:
        super().__init__()
        self.encoder, self.cell, self.head = nn.Linear(16, 32), cell, nn.Linear(32, 4)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)
        for _ in range(self.steps):
            h = self.cell(h)
        return self.head(h)


@sick("vanishing-gradient")
def unrolled_sigmoid_chain() -> Built:
    return Unrolled(nn.Sequential(nn.Linear(32, 32), nn.Sigmoid()), 12), batch(16)


class Rescaled(nn.Module):
    """A constant factor that somebody forgot."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


@sick("vanishing-gradient", "4", "5")
def rescaled_by_a_millionth() -> Built:
    """A step: sound before, sound behind, divided by a million between."""
    front = [nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    back = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*front, Rescaled(1e-6), *back), batch(32)


@sick("vanishing-gradient", "2", "3")
def averaged_over_all_elements_by_mistake() -> Built:
    """A step: divided by the cube of the width, where a mean over the last axis was meant."""
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), Rescaled(1 / 64**3), nn.Tanh(), nn.Linear(64, 10)), batch(32)


@sick("exploding-gradient")
def relu_weights_of_one() -> Built:
    return weights(chain(9, 64, nn.ReLU), 1.0), batch()


@sick("exploding-gradient")
def deep_linear_gain_of_four() -> Built:
    model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(10)), nn.Linear(64, 10))
    return weights(model, 0.5), batch()


@sick("exploding-gradient")
def he_gain_applied_twice() -> Built:
    """std = gain^2 x sqrt(2 / n) with a gain that is squared by mistake: 2.8 instead of 1 a layer."""
    return weights(chain(14, 64, nn.ReLU), 4 / 8), batch()


@sick("exploding-gradient")
def convolutions_of_standard_normal_weights() -> Built:
    return weights(plain_convolutions(nn.ReLU), 1.0), torch.randn(16, 3, 12, 12)


@sick("exploding-gradient")
def unrolled_linear_recurrence() -> Built:
    cell = nn.Linear(32, 32, bias=False)
    nn.init.orthogonal_(cell.weight, gain=1.5)
    return Unrolled(cell, 40), batch(16)


@sick("exploding-gradient")
def chaotic_tanh_40_layers() -> Built:
    """Weights five times too large: tanh bounds the signal, nothing bounds the gradient."""
    return weights(chain(40, 64, nn.Tanh), 5 / 8), batch()


class Unnormalised(nn.Module):
    """A residual block with a branch twice as strong as the skip and no normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        for layer in (self.branch[0], self.branch[2]):
            nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


@sick("exploding-gradient")
def residual_blocks_without_normalisation() -> Built:
    return nn.Sequential(nn.Linear(32, 64), *(Unnormalised(64) for _ in range(24)), nn.Linear(64, 10)), batch(32)


@sick("exploding-gradient", "4", "5")
def rescaled_by_a_million() -> Built:
    front = [nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh()]
    back = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*front, Rescaled(1e6), *back), batch(32)
