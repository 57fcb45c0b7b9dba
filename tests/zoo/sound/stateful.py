"""Sound models that change themselves in forward: a check has to put all of it back."""

from __future__ import annotations

import copy
import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class EMACodebook(nn.Module):
    """Vector quantisation whose codes are a moving average kept in buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(12, 8), nn.Linear(8, 12)
        self.register_buffer("codes", torch.randn(16, 8))
        self.register_buffer("counts", torch.ones(16))

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        index = torch.cdist(z, self.codes).argmin(dim=1)
        if self.training:
            with torch.no_grad():
                chosen = F.one_hot(index, 16).float()
                self.counts.mul_(0.9).add_(0.1 * chosen.sum(0))
                self.codes.mul_(0.9).add_(0.1 * chosen.T @ z / (self.counts[:, None] + 1e-3))
        code = self.codes[index].clone()
        return F.mse_loss(self.decoder(z + (code - z).detach()), x) + 0.25 * F.mse_loss(z, code)


@sound
def codebook_by_moving_average() -> Built:
    return EMACodebook(), torch.randn(64, 12)


class Stateful(nn.Module):
    """The last state is kept, without its graph, for the next call: truncated backpropagation through time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(8, 16), nn.Linear(16, 4)
        self.state: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 16) if self.state is None or len(self.state) != len(x) else self.state
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        self.state = h.detach()
        return self.head(h)


@sound
def state_kept_between_calls() -> Built:
    return Stateful(), torch.randn(16, 6, 8)


class Annealed(nn.Module):
    """Counts its own calls, and keeps a history in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        self.calls = 0
        self.history: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out = self.net(x) / (1 + 1 / self.calls)
        self.history.append(out.detach().mean().item())
        return out


@sound
def counts_its_calls() -> Built:
    return Annealed(), torch.randn(16, 8)


class MoCo(nn.Module):
    """A queue of keys from a momentum encoder, both moved in forward (He et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(64, 8), dim=1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            for slow, fast in zip(self.key.parameters(), self.query.parameters(), strict=True):
                slow.mul_(0.99).add_(0.01 * fast)
            k = F.normalize(self.key(b), dim=1)
        q = F.normalize(self.query(a), dim=1)
        score = torch.cat(((q * k).sum(1, keepdim=True), q @ self.queue.T), dim=1) / 0.2
        self.queue = torch.cat((self.queue[len(k) :], k))
        return F.cross_entropy(score, torch.zeros(len(q), dtype=torch.long))


@sound
def moco() -> Built:
    x = torch.randn(16, 16)
    return MoCo(), (x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x))


class PythonChance(nn.Module):
    """Python's own generator decides about a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.branch, self.leave = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.enter(x))
        if random.random() < 0.7:
            h = h + torch.relu(self.branch(h))
        return self.leave(h)


@sound
def branch_by_pythons_chance() -> Built:
    return PythonChance(), torch.randn(16, 8)
