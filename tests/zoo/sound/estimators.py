"""Sound models with a gradient that is not the derivative of what was computed, or that is drawn from noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class VQ(nn.Module):
    """A vector-quantised autoencoder: straight-through codes, codebook and commitment losses (van den Oord et al. 2017)."""

    def __init__(self, codes: int = 32, width: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, width))
        self.codebook = nn.Embedding(codes, width)
        self.decoder = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        code = self.codebook(torch.cdist(z, self.codebook.weight).argmin(dim=1))
        straight = z + (code - z).detach()
        latent = F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(z, code.detach())
        return F.mse_loss(self.decoder(straight), x) + latent


@sound
def vq_straight_through() -> Built:
    return VQ(), torch.randn(64, 16)


class GumbelAutoencoder(nn.Module):
    """A discrete latent variable, hard forward and soft backward (Jang et al. 2016)."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4 * 8))
        self.decoder = nn.Sequential(nn.Linear(4 * 8, 32), nn.ReLU(), nn.Linear(32, 16))
        self.hard = hard

    def forward(self, x: Tensor) -> Tensor:
        logits = self.encoder(x).view(-1, 4, 8)
        return self.decoder(F.gumbel_softmax(logits, tau=1.0, hard=self.hard).flatten(1))


@sound
def gumbel_softmax() -> Built:
    return GumbelAutoencoder(hard=False), torch.randn(32, 16)


@sound
def gumbel_softmax_hard() -> Built:
    return GumbelAutoencoder(hard=True), torch.randn(32, 16)


class Spike(torch.autograd.Function):
    """A step forward, a fast sigmoid's derivative backward."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (v,) = ctx.saved_tensors
        return gradient / (1 + 5 * v.abs()) ** 2


class SpikingNet(nn.Module):
    """Leaky integrate-and-fire neurons with a surrogate gradient (Neftci et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(20, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        v, total = torch.zeros(x.shape[0], 32), torch.zeros(x.shape[0], 5)
        for _ in range(8):
            v = 0.9 * v + self.first(x)
            spike = Spike.apply(v - 1.0)
            v = v - spike.detach()
            total = 0.9 * total + self.second(spike)
        return total


@sound
def surrogate_spikes() -> Built:
    return SpikingNet(), 2 * torch.randn(32, 20)


class FakeQuantLinear(nn.Linear):
    """Weights rounded to 8 bits in forward; the rounding passes the gradient on."""

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.detach().abs().max() / 127
        rounded = torch.round(self.weight / scale) * scale
        return F.linear(x, self.weight + (rounded - self.weight).detach(), self.bias)


@sound
def quantisation_aware() -> Built:
    return nn.Sequential(
        FakeQuantLinear(16, 32), nn.ReLU(), FakeQuantLinear(32, 32), nn.ReLU(), FakeQuantLinear(32, 4)
    ), torch.randn(32, 16)


class FakeQuantOp(nn.Module):
    """torch's own fake quantisation of weights and activations, as in quantisation-aware training."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.fake_quantize_per_tensor_affine(self.first.weight, 0.25 / 127, 0, -127, 127)
        h = F.relu(F.linear(x, weight, self.first.bias))
        return self.second(torch.fake_quantize_per_tensor_affine(h, 6 / 255, 0, 0, 255))


@sound
def fake_quantize_op() -> Built:
    return FakeQuantOp(), torch.randn(32, 16)


@sound
def observed_fake_quantiser() -> Built:
    """What `prepare_qat` puts behind a layer: it takes its scale from the running range of the whole batch."""
    from torch.ao.quantization import FusedMovingAvgObsFakeQuantize

    model = nn.Sequential(nn.Linear(16, 32), FusedMovingAvgObsFakeQuantize(), nn.ReLU(), nn.Linear(32, 4))
    return model, torch.randn(8, 16)


class Reverse(torch.autograd.Function):
    """The identity, with the gradient's sign turned."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


class DomainAdversarial(nn.Module):
    """Features that a classifier likes and a domain head does not (Ganin et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.label, self.domain = nn.Linear(32, 5), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(x)
        return self.label(h), self.domain(Reverse.apply(h))


@sound
def gradient_reversal() -> Built:
    return DomainAdversarial(), torch.randn(32, 16)


class VAE(nn.Module):
    """A variational autoencoder with its evidence bound (Kingma & Welling 2013)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(16, 32), nn.Tanh())
        self.mean, self.log_variance = nn.Linear(32, 4), nn.Linear(32, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        out = self.decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance))
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        return {"loss": F.mse_loss(out, x, reduction="sum") / x.shape[0] + divergence, "reconstruction": out}


@sound
def vae() -> Built:
    return VAE(), torch.randn(32, 16)


class Reinforce(nn.Module):
    """A policy gradient: the action is sampled, its log probability carries the gradient (Williams 1992)."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3))
        self.value = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, state: Tensor, returns: Tensor) -> Tensor:
        choice = torch.distributions.Categorical(logits=self.policy(state))
        value = self.value(state).squeeze(-1)
        advantage = (returns - value).detach()
        return (
            -(choice.log_prob(choice.sample()) * advantage).mean() + F.mse_loss(value, returns) - 0.01 * choice.entropy().mean()
        )


@sound
def actor_critic() -> Built:
    return Reinforce(), (torch.randn(64, 4), torch.randn(64))
