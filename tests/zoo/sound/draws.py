"""Sound models that draw random numbers and keep the gradient: reparametrised, beside the data, or scored."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, Normal
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class Latent(nn.Module):
    """An encoder, a draw around what it says, and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.spread, self.decoder = nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(6, 4)

    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return mean + spread * torch.randn_like(mean)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.draw(self.encoder(x), F.softplus(self.spread(x)) + 0.1))
        return out


@sound
def noise_that_is_scaled_and_shifted() -> Built:
    return Latent(), torch.randn(32, 8)


class Reparametrised(Latent):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return Independent(Normal(mean, spread), 1).rsample()


@sound
def rsample_of_a_normal() -> Built:
    return Reparametrised(), torch.randn(32, 8)


class Noisy(Latent):
    """Noise of the shape of what it is added to, drawn in place."""

    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return mean + spread * mean.clone().normal_()


@sound
def noise_drawn_into_a_copy() -> Built:
    return Noisy(), torch.randn(32, 8)


class Policy(nn.Module):
    """Returns the log-probability of what it drew: REINFORCE multiplies it by the reward."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 5))

    def forward(self, state: Tensor) -> Tensor:
        choice = Categorical(logits=self.body(state))
        return choice.log_prob(choice.sample())


@sound
def log_probability_of_a_draw() -> Built:
    return Policy(), torch.randn(32, 8)
