"""A network on graphs, with a first step that is far too large."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.watching.parts import Run, usual


class _Graph(nn.Module):
    """Two rounds of messages between nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.norm, self.head = nn.Linear(6, 16), nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, edges: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(edges @ F.elu(self.norm(self.enter(edges @ x))))
        return out


def graph() -> Run:
    """A first step of Adagrad that is 280 times the weights, from which the loss comes down slowly."""
    model = _Graph()

    def loss(k: int) -> torch.Tensor:
        g = torch.Generator().manual_seed(k)
        edges = (torch.rand(24, 24, generator=g) < 0.15).float() + torch.eye(24)
        kinds = torch.randint(3, (24,), generator=g)
        x = 0.5 * torch.randn(24, 6, generator=g) + 1.5 * F.one_hot(kinds, 6)
        return F.cross_entropy(model(edges / edges.sum(1, keepdim=True), x), kinds)

    return usual(model, torch.optim.Adagrad(model.parameters(), lr=50.0), loss)
