"""Sound models of control, physics, uncertainty and metric learning."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class Squashed(nn.Module):
    """A Gaussian policy squashed by tanh, with the log-probability of what it drew (SAC)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.mean, self.log_std = nn.Linear(32, 2), nn.Linear(32, 2)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(observation)
        mean, log_std = self.mean(h), self.log_std(h).clamp(-20, 2)
        normal = torch.distributions.Normal(mean, log_std.exp())
        u = normal.rsample()
        log_prob = normal.log_prob(u) - 2 * (0.6931 - u - F.softplus(-2 * u))
        return torch.tanh(u), log_prob.sum(1)


@sound
def squashed_gaussian_policy() -> Built:
    return Squashed(), torch.randn(64, 8)


class Dueling(nn.Module):
    """A value and advantages without their mean, with noisy layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 32), nn.ReLU())
        self.value, self.mean = nn.Linear(32, 1), nn.Linear(32, 4)
        self.sigma = nn.Parameter(torch.full((4, 32), 0.017))

    def forward(self, observation: Tensor) -> Tensor:
        h = self.body(observation)
        a = self.mean(h) + h @ (self.sigma * torch.randn(4, 32)).T
        return self.value(h) + a - a.mean(1, keepdim=True)


@sound
def dueling_with_noise() -> Built:
    return Dueling(), torch.randn(64, 6)


class Returns(nn.Module):
    """Returns, states and actions as one sequence (Decision Transformer)."""

    def __init__(self) -> None:
        super().__init__()
        self.r, self.s, self.a = nn.Linear(1, 24), nn.Linear(5, 24), nn.Embedding(3, 24)
        self.times, self.norm = nn.Embedding(20, 24), nn.LayerNorm(24)
        self.block = nn.TransformerEncoderLayer(24, 2, 48, 0.1, "gelu", batch_first=True)
        self.act = nn.Linear(24, 3)

    def forward(self, returns: Tensor, states: Tensor, actions: Tensor) -> Tensor:
        steps = states.shape[1]
        when = self.times(torch.arange(steps))
        tokens = torch.stack([self.r(returns) + when, self.s(states) + when, self.a(actions) + when], dim=2).flatten(1, 2)
        mask = nn.Transformer.generate_square_subsequent_mask(3 * steps)
        return self.act(self.block(self.norm(tokens), src_mask=mask)[:, 1::3])


@sound
def returns_states_and_actions() -> Built:
    return Returns(), (torch.randn(8, 6, 1), torch.randn(8, 6, 5), torch.randint(0, 3, (8, 6)))


class Motion(nn.Module):
    """The motion as the rotated gradient of a learnt energy."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1, bias=False))

    def forward(self, state: Tensor) -> Tensor:
        with torch.enable_grad():
            state = state.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.energy(state).sum(), state, create_graph=True)
        return torch.cat([slope[:, 2:], -slope[:, :2]], dim=1)


@sound
def motion_of_a_learnt_energy() -> Built:
    return Motion(), torch.randn(64, 4)


class Operator(nn.Module):
    """A function at its sensors, a place, and their dot product (DeepONet)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 16))
        self.trunk = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh())
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, function: Tensor, place: Tensor) -> Tensor:
        return (self.branch(function) * self.trunk(place)).sum(1) + self.bias


@sound
def operator_by_branch_and_trunk() -> Built:
    return Operator(), (torch.randn(64, 20), torch.rand(64, 1))


class Bayesian(nn.Module):
    """Weights drawn from a learnt Gaussian, and their divergence from a prior (Bayes by Backprop)."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.ParameterList(torch.randn(n, m) / m**0.5 for n, m in ((32, 6), (1, 32)))
        self.rho = nn.ParameterList(torch.full((n, m), -4.0) for n, m in ((32, 6), (1, 32)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        divergence = torch.zeros(())
        for i, (mean, rho) in enumerate(zip(self.mean, self.rho, strict=True)):
            sigma = F.softplus(rho)
            x = F.linear(x, mean + sigma * torch.randn_like(sigma))
            x = torch.relu(x) if i == 0 else x
            divergence = divergence + (0.5 * (sigma**2 + mean**2) - sigma.log() - 0.5).sum()
        return x.squeeze(1), divergence / 1000


@sound
def weights_drawn_from_a_posterior() -> Built:
    return Bayesian(), torch.randn(64, 6)


class Angular(nn.Module):
    """Cosines with an additive margin, scaled by 30 (ArcFace)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.PReLU(), nn.Linear(32, 16))
        self.centres = nn.Parameter(torch.empty(10, 16))
        nn.init.xavier_uniform_(self.centres)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        cosine = F.linear(F.normalize(self.body(x)), F.normalize(self.centres))
        angle = torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))
        shifted = torch.cos(angle + 0.3)
        return F.cross_entropy(30 * torch.where(F.one_hot(y, 10).bool(), shifted, cosine), y)


@sound
def angular_margin() -> Built:
    return Angular(), (torch.randn(64, 12), torch.randint(0, 10, (64,)))


class Paired(nn.Module):
    """Images and texts of one batch against each other, with a learnt temperature (CLIP)."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.Linear(32, 16))
        self.text = nn.Sequential(nn.Linear(12, 32), nn.GELU(), nn.Linear(32, 16))
        self.scale = nn.Parameter(torch.tensor(2.6593))

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        logits = self.scale.exp() * F.normalize(self.image(image)) @ F.normalize(self.text(text)).T
        target = torch.arange(len(image))
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@sound
def images_and_texts_in_pairs() -> Built:
    return Paired(), (torch.randn(32, 20), torch.randn(32, 12))


class Evidence(nn.Module):
    """A Dirichlet over classes from evidence that is never negative (Sensoy et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        alpha = F.softplus(self.body(x)) + 1
        total = alpha.sum(1, keepdim=True)
        p, target = alpha / total, F.one_hot(y, 5).float()
        return ((target - p) ** 2 + p * (1 - p) / (total + 1)).sum(1).mean()


@sound
def evidence_for_classes() -> Built:
    return Evidence(), (torch.randn(64, 12), torch.randint(0, 5, (64,)))


class Ternary(nn.Module):
    """Weights of -1, 0 and 1 forward, and straight through backward (BitNet b1.58)."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(n, m) / m**0.5 for n, m in ((32, 16), (32, 32), (4, 32)))
        self.norms = nn.ModuleList(nn.RMSNorm(n) for n in (16, 32, 32))

    def forward(self, x: Tensor) -> Tensor:
        for i, (weight, norm) in enumerate(zip(self.weights, self.norms, strict=True)):
            scale = weight.abs().mean()
            ternary = (weight / scale).round().clamp(-1, 1) * scale
            x = F.linear(norm(x), weight + (ternary - weight).detach())
            x = F.relu(x) if i < 2 else x
        return x


@sound
def ternary_weights_straight_through() -> Built:
    return Ternary(), torch.randn(64, 16)
