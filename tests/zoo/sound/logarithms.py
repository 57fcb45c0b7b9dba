"""Sound models that compute with log-probabilities, and exponentials that are no softmax."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound
from tests.zoo.sick.logarithms import Matching


@sound
def matching_at_a_temperature_of_one() -> Built:
    return Matching(1.0), (torch.randn(16, 9, 8), torch.randn(16, 9, 8))


class Chain(nn.Module):
    """The forward pass of a hidden Markov model whose states last; the exponential of its beliefs goes on."""

    def __init__(self, states: int = 7) -> None:
        super().__init__()
        self.emission, self.moves = nn.Linear(10, states), nn.Parameter(torch.randn(states, states) + 3 * torch.eye(states))
        self.head = nn.Linear(states, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores, moves = self.emission(x).log_softmax(-1), self.moves.log_softmax(-1)
        belief = scores[:, 0]
        for step in range(1, x.shape[1]):
            belief = torch.logsumexp(belief[:, :, None] + moves, 1) + scores[:, step]
            belief = belief - belief.logsumexp(-1, keepdim=True)
        return self.head(belief.exp())


@sound
def beliefs_of_a_hidden_chain() -> Built:
    return Chain(), torch.randn(32, 9, 10)


class Causal(nn.Module):
    """Attention by hand, in logarithms, with a mask: what is masked is no saturated entry."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = (self.q(x) @ self.k(x).mT * x.shape[-1] ** -0.5).masked_fill(later, -torch.inf)
        out: Tensor = torch.exp(scores - scores.logsumexp(-1, keepdim=True)) @ self.v(x)
        return out


@sound
def causal_attention_in_logarithms() -> Built:
    return Causal(), torch.randn(32, 10, 24)


class Bumps(nn.Module):
    """Radial functions: an exponential of a difference, whose rows sum to nothing in particular."""

    def __init__(self) -> None:
        super().__init__()
        self.centres, self.width, self.out = nn.Parameter(torch.randn(20, 4)), nn.Parameter(torch.zeros(20)), nn.Linear(20, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.exp(self.width - (x[:, None] - self.centres).square().sum(-1)))


@sound
def radial_functions_with_a_learnt_height() -> Built:
    return Bumps(), torch.randn(64, 4)
