"""Softmaxes that are written as the exponential of log-probabilities, of scores that are far too far apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick

SATURATED = "saturated-activation"
FLOW = {"vanishing-gradient": "nothing comes back through rows of zeros and ones"}


class Matching(nn.Module):
    """Two sets of points are matched by rows and columns in turn."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 24))
        self.temperature = temperature

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        log = self.encode(one) @ self.encode(other).mT / self.temperature
        for _ in range(12):
            log = log - log.logsumexp(-1, keepdim=True)
            log = log - log.logsumexp(-2, keepdim=True)
        out: Tensor = log.exp()
        return out


@sick(SATURATED, "", "encode", synonyms=FLOW, also=FLOW)
def matching_at_a_temperature_near_zero() -> Built:
    return Matching(0.002), (torch.randn(16, 9, 8), torch.randn(16, 9, 8))


class Reader(nn.Module):
    """Attention by hand, in logarithms, whose scores nobody scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(48, 48) for _ in range(3))
        self.gain = 40.0

    def forward(self, x: Tensor) -> Tensor:
        scores = self.gain * self.q(x) @ self.k(x).mT
        weights = torch.exp(scores - scores.logsumexp(-1, keepdim=True))
        out: Tensor = weights @ self.v(x)
        return out


@sick(SATURATED, "", "q", synonyms=FLOW, also=FLOW)
def attention_in_logarithms_of_unscaled_scores() -> Built:
    return Reader(), torch.randn(32, 12, 48)


class Policy(nn.Module):
    """Probabilities of actions, from the log_softmax of scores of a head that starts far too large."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(12, 32), nn.Linear(32, 6)
        nn.init.normal_(self.head.weight, std=30.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x))).log_softmax(-1).exp()


@sick(SATURATED, "", "head", synonyms=FLOW, also=FLOW)
def policy_of_large_scores() -> Built:
    return Policy(), torch.randn(64, 12)
