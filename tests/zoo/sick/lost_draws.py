"""Sick models that draw from what they learn, and whose mean still learns from another term: a draw without `rsample`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import functional as F

from tests.zoo.entry import Built, sick
from tests.zoo.sound.lost_draws import Autoencoder, BayesianLayer


class Sampled(Autoencoder):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        drawn: Tensor = Normal(mean, spread).sample()
        return drawn


@sick("cut-gradient", "")
def autoencoder_that_samples() -> Built:
    """Mean and spread are outputs: they get a gradient, but not from what the decoder makes of the draw."""
    return Sampled(), torch.randn(32, 20)


class Normals(Autoencoder):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return torch.normal(mean, spread)


@sick("cut-gradient", "")
def autoencoder_with_torch_normal() -> Built:
    return Normals(), torch.randn(32, 20)


@sick("cut-gradient", "hidden", "")
def bayesian_layer_that_samples() -> Built:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = BayesianLayer(8, 32, reparametrised=False), nn.Linear(32, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h, divergence = self.hidden(x)
            return self.head(torch.relu(h)), divergence

    return Net(), torch.randn(32, 8)


@sick("cut-gradient", "")
def world_model_whose_posterior_is_sampled() -> Built:
    """The state of each step is drawn; the divergence from the prior is all that teaches the posterior."""

    class World(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.prior, self.posterior = nn.GRUCell(6, 24), nn.Linear(24, 12), nn.Linear(24 + 10, 12)
            self.decode = nn.Sequential(nn.Linear(30, 32), nn.ELU(), nn.Linear(32, 10))

        def forward(self, seen: Tensor) -> Tensor:
            h, z = torch.zeros(len(seen), 24), torch.zeros(len(seen), 6)
            loss = torch.zeros(())
            for x in seen.unbind(1):
                h = self.cell(z, h)
                prior, posterior = (self._normal(y) for y in (self.prior(h), self.posterior(torch.cat([h, x], 1))))
                z = posterior.sample()
                loss = loss + F.mse_loss(self.decode(torch.cat([h, z], 1)), x) + kl_divergence(posterior, prior).mean()
            return loss

        @staticmethod
        def _normal(y: Tensor) -> Independent:
            mean, spread = y.chunk(2, 1)
            return Independent(Normal(mean, F.softplus(spread) + 0.1), 1)

    return World(), torch.randn(16, 6, 10)
