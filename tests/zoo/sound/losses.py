"""Sound models with the losses of structured prediction, contrast and reinforcement inside forward."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class CRF(nn.Module):
    """A linear-chain conditional random field, in log space (Lafferty et al. 2001)."""

    def __init__(self, tags: int = 5) -> None:
        super().__init__()
        self.emit = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, tags))
        self.transition = nn.Parameter(0.1 * torch.randn(tags, tags))

    def forward(self, x: Tensor, tags: Tensor) -> Tensor:
        score = self.emit(x)
        alpha = score[:, 0]
        for t in range(1, x.shape[1]):
            alpha = torch.logsumexp(alpha.unsqueeze(2) + self.transition, dim=1) + score[:, t]
        true = score.gather(2, tags.unsqueeze(2)).sum((1, 2)) + self.transition[tags[:, :-1], tags[:, 1:]].sum(1)
        return (torch.logsumexp(alpha, dim=1) - true).mean()


@sound
def crf() -> Built:
    return CRF(), (torch.randn(16, 10, 12), torch.randint(0, 5, (16, 10)))


class Speech(nn.Module):
    """A convolution, a recurrent layer, and the connectionist temporal classification of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru, self.head = nn.Conv1d(8, 24, 3, padding=1), nn.GRU(24, 24, bidirectional=True), nn.Linear(48, 10)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        h = F.relu(self.conv(x)).permute(2, 0, 1)
        logits = F.log_softmax(self.head(self.gru(h)[0]), dim=-1)
        lengths = torch.full((x.shape[0],), x.shape[2]), torch.full((x.shape[0],), labels.shape[1])
        return F.ctc_loss(logits, labels, *lengths)


@sound
def ctc() -> Built:
    return Speech(), (torch.randn(8, 8, 24), torch.randint(1, 10, (8, 6)))


class Mixture(nn.Module):
    """A mixture density network (Bishop 1994)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 32), nn.Tanh())
        self.weight, self.mean, self.log_std = nn.Linear(32, 5), nn.Linear(32, 5), nn.Linear(32, 5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.body(x)
        log_std = self.log_std(h).clamp(-5, 5)
        log_density = -0.5 * ((y - self.mean(h)) * torch.exp(-log_std)).square() - log_std - 0.5 * math.log(2 * math.pi)
        return -torch.logsumexp(F.log_softmax(self.weight(h), dim=1) + log_density, dim=1).mean()


@sound
def mixture_density() -> Built:
    return Mixture(), (torch.randn(64, 4), torch.randn(64, 1))


class PPO(nn.Module):
    """The clipped surrogate of a policy that has moved a little since the data was drawn (Schulman et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
        self.value = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, state: Tensor, action: Tensor, old: Tensor, advantage: Tensor, returns: Tensor) -> Tensor:
        log_probability = F.log_softmax(self.policy(state), dim=1)
        ratio = (log_probability.gather(1, action[:, None]).squeeze(1) - old).exp()
        clipped = ratio.clamp(0.8, 1.2) * advantage
        entropy = -(log_probability.exp() * log_probability).sum(1).mean()
        return (
            -torch.minimum(ratio * advantage, clipped).mean()
            + F.mse_loss(self.value(state).squeeze(1), returns)
            - 0.01 * entropy
        )


@sound
def ppo() -> Built:
    old = math.log(1 / 3) + 0.1 * torch.randn(64)
    return PPO(), (torch.randn(64, 6), torch.randint(0, 3, (64,)), old, torch.randn(64), torch.randn(64))


class Contrast(nn.Module):
    """Two towers, a learned temperature, and the pairs of the batch (Radford et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.right = nn.Sequential(nn.Linear(12, 32), nn.GELU(), nn.Linear(32, 16))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        scale = self.log_scale.exp().clamp(max=100)
        score = scale * F.normalize(self.left(a), dim=1) @ F.normalize(self.right(b), dim=1).T
        pairs = torch.arange(len(a))
        return (F.cross_entropy(score, pairs) + F.cross_entropy(score.T, pairs)) / 2


@sound
def contrastive_pairs() -> Built:
    return Contrast(), (torch.randn(32, 16), torch.randn(32, 12))


class Triplet(nn.Module):
    """One tower three times; triplets beyond the margin are silent."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(self.tower(anchor), self.tower(positive), self.tower(negative), margin=0.5)


@sound
def triplet() -> Built:
    return Triplet(), (torch.randn(32, 16), torch.randn(32, 16), torch.randn(32, 16))


class Output(NamedTuple):
    loss: Tensor
    accuracy: Tensor
    prediction: Tensor


class WithMetrics(nn.Module):
    """The loss and, beside it, numbers to look at, which carry no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, x: Tensor, labels: Tensor) -> Output:
        logits = self.net(x)
        prediction = logits.argmax(dim=1)
        return Output(F.cross_entropy(logits, labels), (prediction == labels).float().mean(), prediction)


@sound
def loss_with_metrics() -> Built:
    return WithMetrics(), (torch.randn(32, 12), torch.randint(0, 5, (32,)))


class Bounded(nn.Module):
    """A regression through a bounded activation, to targets within its bounds but for a few outliers."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12), last)

    def forward(self, x: Tensor, wanted: Tensor) -> Tensor:
        return F.mse_loss(self.net(x), wanted)


@sound
def pixels_behind_a_sigmoid() -> Built:
    return Bounded(nn.Sigmoid()), (torch.randn(32, 12), torch.rand(32, 12))


@sound
def standardised_targets_behind_a_wide_tanh() -> Built:
    return Bounded(nn.Tanh()), (torch.randn(32, 12), torch.randn(32, 12) * 0.4)


@sound
def waiting_times_behind_a_softplus() -> Built:
    return Bounded(nn.Softplus()), (torch.randn(32, 12), torch.randn(32, 12).exp())


class Agreeing(nn.Module):
    """Consistency of two views: the target is a prediction of the net itself, without a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = torch.softmax(self.net(x + 0.1 * torch.randn_like(x)), -1)
        return F.mse_loss(torch.softmax(self.net(x), -1), wanted)


@sound
def consistency_of_two_views() -> Built:
    return Agreeing(), torch.randn(32, 12)
