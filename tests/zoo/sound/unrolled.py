"""Sound models that apply the same weights many times, or differentiate inside forward."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class LastState(nn.Module):
    """A class from the last state of a recurrent layer: what lies far back is forgotten, the weights learn all the same."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


@sound
def lstm_last_of_60_steps() -> Built:
    return LastState(nn.LSTM(8, 24, batch_first=True)), torch.randn(16, 60, 8)


@sound
def gru_last_of_60_steps() -> Built:
    return LastState(nn.GRU(8, 24, batch_first=True)), torch.randn(16, 60, 8)


@sound
def rnn_last_of_30_steps() -> Built:
    return LastState(nn.RNN(8, 24, batch_first=True)), torch.randn(16, 30, 8)


class CellLoop(nn.Module):
    """An LSTM cell in a Python loop behind an embedding; the last state is read."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.cell, self.head = nn.Embedding(50, 16), nn.LSTMCell(16, 24), nn.Linear(24, 4)

    def forward(self, ids: Tensor) -> Tensor:
        state = None
        for t in range(ids.shape[1]):
            state = self.cell(self.tokens(ids[:, t]), state)
        assert state is not None
        return self.head(state[0])


@sound
def lstm_cell_loop_of_40_steps() -> Built:
    return CellLoop(), torch.randint(0, 50, (16, 40))


class Captioner(nn.Module):
    """An image's code is the first state; every step is read (Vinyals et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.tokens, self.cell, self.head = nn.Embedding(50, 16), nn.GRUCell(16, 16), nn.Linear(16, 50)

    def forward(self, image: Tensor, ids: Tensor) -> Tensor:
        h, scores = self.image(image), []
        for t in range(ids.shape[1]):
            h = self.cell(self.tokens(ids[:, t]), h)
            scores.append(self.head(h))
        return torch.stack(scores, dim=1)


@sound
def captioner() -> Built:
    return Captioner(), (torch.randn(8, 3, 12, 12), torch.randint(0, 50, (8, 20)))


class NeuralODE(nn.Module):
    """Sixteen Euler steps of one vector field (Chen et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(8, 16), nn.Linear(16, 4)
        self.field = nn.Sequential(nn.Linear(17, 32), nn.Tanh(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for k in range(16):
            time = torch.full_like(h[:, :1], k / 16)
            h = h + self.field(torch.cat((h, time), dim=1)) / 16
        return self.leave(h)


@sound
def neural_ode() -> Built:
    return NeuralODE(), torch.randn(32, 8)


class LISTA(nn.Module):
    """Unrolled sparse coding: soft thresholds leave most codes at 0 (Gregor & LeCun 2010)."""

    def __init__(self, steps: int = 8) -> None:
        super().__init__()
        self.encode, self.mix, self.decode = nn.Linear(16, 48, bias=False), nn.Linear(48, 48, bias=False), nn.Linear(48, 16)
        self.threshold = nn.Parameter(torch.tensor(0.1))
        nn.init.orthogonal_(self.mix.weight, gain=0.7)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        b = self.encode(x)
        z = self.shrink(b)
        for _ in range(self.steps):
            z = self.shrink(b + self.mix(z))
        return self.decode(z)

    def shrink(self, x: Tensor) -> Tensor:
        return F.relu(x - self.threshold) - F.relu(-x - self.threshold)


@sound
def unrolled_sparse_coding() -> Built:
    return LISTA(), torch.randn(64, 16)


class MAML(nn.Module):
    """Two inner steps with a graph, and the loss behind them (Finn et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, support: Tensor, goal: Tensor, query: Tensor, answer: Tensor) -> Tensor:
        weights = dict(self.net.named_parameters())
        for _ in range(2):
            inner = F.mse_loss(functional_call(self.net, weights, (support,)), goal)
            gradients = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
            weights = {name: w - 0.1 * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
        return F.mse_loss(functional_call(self.net, weights, (query,)), answer)


@sound
def maml() -> Built:
    x, z = torch.rand(10, 1) * 6 - 3, torch.rand(10, 1) * 6 - 3
    return MAML(), (x, torch.sin(x), z, torch.sin(z))


class Critic(nn.Module):
    """A Wasserstein critic with a gradient penalty (Gulrajani et al. 2017): the last bias cancels, so there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1, bias=False))

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        mixed = torch.lerp(real, fake, torch.rand(real.shape[0], 1)).requires_grad_(True)
        (slope,) = torch.autograd.grad(self.net(mixed).sum(), mixed, create_graph=True)
        return self.net(fake).mean() - self.net(real).mean() + 10 * (slope.norm(dim=1) - 1).square().mean()


@sound
def gradient_penalty() -> Built:
    return Critic(), (torch.randn(32, 8) + 1, torch.randn(32, 8))


class Capsules(nn.Module):
    """Routing by agreement: the coupling is found on detached predictions (Sabour et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.primary = nn.Linear(16, 6 * 8)
        self.transform = nn.Parameter(0.3 * torch.randn(6, 4, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        u = torch.einsum("bid,ijdk->bijk", self.squash(self.primary(x).view(-1, 6, 8)), self.transform)
        fixed, logits = u.detach(), torch.zeros(x.shape[0], 6, 4)
        for _ in range(2):
            v = self.squash((F.softmax(logits, dim=2).unsqueeze(-1) * fixed).sum(1))
            logits = logits + (fixed * v.unsqueeze(1)).sum(-1)
        return self.squash((F.softmax(logits, dim=2).unsqueeze(-1) * u).sum(1))

    @staticmethod
    def squash(s: Tensor) -> Tensor:
        square = s.square().sum(-1, keepdim=True)
        return square / (1 + square) * s / torch.sqrt(square + 1e-8)


@sound
def capsules() -> Built:
    return Capsules(), torch.randn(32, 16)
