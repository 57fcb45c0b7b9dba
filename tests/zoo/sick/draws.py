"""Sick models that draw random numbers where a gradient was to pass, in every spelling."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Normal

from tests.zoo.entry import Built, sick
from tests.zoo.sound.draws import Latent

AT = ("encoder", "spread", "")


class Scalar(Latent):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return Normal(mean + 0.0 * spread, 1.0).sample()


@sick("cut-gradient", *AT)
def sample_of_a_normal_with_one_spread() -> Built:
    return Scalar(), torch.randn(32, 8)


class Function(Latent):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return torch.normal(mean, spread)


@sick("cut-gradient", *AT)
def torch_normal() -> Built:
    return Function(), torch.randn(32, 8)


class InPlace(Latent):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return (mean * spread).normal_()


@sick("cut-gradient", *AT)
def normal_in_place() -> Built:
    return InPlace(), torch.randn(32, 8)


class Counts(Latent):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return torch.poisson(torch.exp(mean) * spread)


@sick("cut-gradient", *AT)
def counts_of_a_poisson() -> Built:
    return Counts(), torch.randn(32, 8)


class Switches(Latent):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return torch.empty_like(mean).bernoulli_(torch.sigmoid(mean * spread))


@sick("cut-gradient", *AT)
def switches_of_a_bernoulli() -> Built:
    return Switches(), torch.randn(32, 8)
