"""Sound models that draw: reparametrised, with a score function, straight through, or with nothing behind the draw."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class Autoencoder(nn.Module):
    """A variational one (Kingma and Welling 2014), for a loss of reconstruction and divergence."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(20, 64), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(64, 8), nn.Linear(64, 8)
        self.decode = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 20))

    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        drawn: Tensor = Normal(mean, spread).rsample()
        return drawn

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encode(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        return self.decode(self.draw(mean, (0.5 * log_variance).exp())), mean, log_variance


@sound
def autoencoder_that_is_reparametrised() -> Built:
    return Autoencoder(), torch.randn(32, 20)


class StraightThrough(Autoencoder):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return mean + (Normal(mean, spread).sample() - mean).detach()


@sound
def draw_straight_through() -> Built:
    return StraightThrough(), torch.randn(32, 20)


class NoiseApart(Autoencoder):
    def draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        return mean + spread * Normal(torch.zeros_like(mean), torch.ones_like(mean)).sample()


@sound
def noise_that_is_sampled_by_itself() -> Built:
    return NoiseApart(), torch.randn(32, 20)


class BayesianLayer(nn.Module):
    """A weight that is drawn for each batch (Blundell et al. 2015)."""

    def __init__(self, width: int, units: int, *, reparametrised: bool) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(units, width) * 0.3)
        self.spread = nn.Parameter(torch.full((units, width), -3.0))
        self.reparametrised = reparametrised

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        posterior = Normal(self.mean, F.softplus(self.spread))
        weight = posterior.rsample() if self.reparametrised else posterior.sample()
        return F.linear(x, weight), kl_divergence(posterior, Normal(0.0, 1.0)).mean()


@sound
def bayesian_layer() -> Built:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = BayesianLayer(8, 32, reparametrised=True), nn.Linear(32, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h, divergence = self.hidden(x)
            return self.head(torch.relu(h)), divergence

    return Net(), torch.randn(32, 8)


class Actor(nn.Module):
    """An actor, and a critic of what it does: the draw is an action, and its log_prob teaches the actor."""

    def __init__(self, *, written_out: bool = False) -> None:
        super().__init__()
        self.body, self.mean = nn.Sequential(nn.Linear(8, 32), nn.Tanh()), nn.Linear(32, 3)
        self.log_spread = nn.Parameter(torch.zeros(3))
        self.critic = nn.Sequential(nn.Linear(11, 32), nn.ReLU(), nn.Linear(32, 1))
        self.written_out = written_out

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        policy = Normal(self.mean(self.body(x)), self.log_spread.exp())
        action = policy.sample()
        value = self.critic(torch.cat([x, action], -1)).squeeze(-1)
        if self.written_out:
            score = -((action - policy.loc) ** 2 / (2 * policy.scale**2) + policy.scale.log()).sum(-1)
        else:
            score = policy.log_prob(action).sum(-1)
        return value, score * value.detach()


@sound
def actor_with_a_score_function() -> Built:
    return Actor(), torch.randn(32, 8)


@sound
def actor_whose_score_function_is_written_out() -> Built:
    return Actor(written_out=True), torch.randn(32, 8)


class Forecast(nn.Module):
    """Of its own draws it makes the next (scheduled sampling); the likelihood of what came teaches it (DeepAR)."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(1, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        h, likelihood, y = torch.zeros(len(x), 16), torch.zeros(()), x[:, 0]
        for t in range(1, x.shape[1]):
            h = self.cell(y, h)
            mean, spread = self.head(h).chunk(2, -1)
            ahead = Normal(mean, F.softplus(spread) + 0.1)
            likelihood = likelihood + ahead.log_prob(x[:, t]).mean()
            y = ahead.sample()
        return -likelihood


@sound
def forecast_from_its_own_draws() -> Built:
    return Forecast(), torch.randn(16, 12, 1)
