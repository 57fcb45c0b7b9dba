"""Sick models in which one of several like parts hardly counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

RULE = "unbalanced-gradient"
FLOW = {"vanishing-gradient": "what hardly counts may hold the first layer"}


def mlp(inp: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inp, 16), nn.ReLU(), nn.Linear(16, out))


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.user_tower, self.item_tower = mlp(8, 4), mlp(8, 4)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return self.user_tower(user) + 1e-5 * self.item_tower(item)


@sick(RULE, "item_tower", also=FLOW)
def scaled_tower() -> Built:
    return Towers(), (torch.randn(32, 8), torch.randn(32, 8))


class TwoTasks(nn.Module):
    """Depth in metres, and a probability: the losses were never balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(10, 16)
        self.heads = nn.ModuleList(mlp(16, 1) for _ in range(2))

    def forward(self, x: Tensor, depth: Tensor, label: Tensor) -> Tensor:
        z = F.gelu(self.trunk(x))
        first = F.mse_loss(self.heads[0](z), depth)
        return first + 1e-7 * F.binary_cross_entropy_with_logits(self.heads[1](z), label)


@sick(RULE, "heads.1", also=FLOW)
def two_losses_far_apart() -> Built:
    return TwoTasks(), (torch.randn(32, 10), torch.randn(32, 1), (torch.arange(32) % 2).float()[:, None])


class Blocks(nn.Module):
    """One block of six was switched off with a small factor, and forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(mlp(12, 12) for _ in range(6))
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.blocks):
            x = x + (1e-6 if i == 3 else 0.5) * block(x)
        return self.head(x)


@sick(RULE, "blocks.3", also=FLOW)
def block_switched_off() -> Built:
    return Blocks(), torch.randn(32, 12)


class Sensors(nn.Module):
    """Positions in metres, and fields in tesla as they come, 1e-6 and smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(nn.Sequential(nn.Linear(3, 16, bias=False), nn.Tanh()) for _ in range(2))
        self.out = nn.Linear(32, 2)

    def forward(self, position: Tensor, field: Tensor) -> Tensor:
        return self.out(torch.cat([self.encoders[0](position), self.encoders[1](field)], -1))


@sick(RULE, "encoders.1", also=FLOW, data="units that differ a millionfold")
def inputs_in_other_units() -> Built:
    return Sensors(), (torch.randn(64, 3), 1e-6 * torch.randn(64, 3))


class Ensemble(nn.Module):
    """Fixed weights of the members, left over from a grid search."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(mlp(10, 3) for _ in range(3))
        self.register_buffer("weights", torch.tensor([0.999999, 1e-6, 1e-8]))
        self.weights: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([w * member(x) for w, member in zip(self.weights, self.members, strict=True)]).sum(0)


@sick(RULE, "members.2", also=FLOW)
def weighted_ensemble() -> Built:
    return Ensemble(), torch.randn(32, 10)
