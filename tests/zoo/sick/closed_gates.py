"""Factors that hold the gradient back and that no training opens: fixed ones, and learnt ones that close a whole net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick


class Gates(nn.Module):
    """Every layer is multiplied by a vector; one after the other they leave nothing."""

    def __init__(self, depth: int = 14, start: float = 0.02) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(depth))
        self.gates = nn.ParameterList(nn.Parameter(torch.randn(24) * start) for _ in range(depth))
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer, gate in zip(self.layers, self.gates, strict=True):
            x = torch.tanh(layer(x)) * gate
        out: Tensor = self.head(x)
        return out


@sick("vanishing-gradient")
def small_gates_one_behind_the_other() -> Built:
    return Gates(), torch.randn(32, 24)


class Held(nn.Module):
    """Two towers of a comparison; a constant of one of them was meant for something else."""

    def __init__(self) -> None:
        super().__init__()
        self.left_tower = nn.Sequential(nn.Linear(12, 20), nn.SiLU(), nn.Linear(20, 8))
        self.right_tower = nn.Sequential(nn.Linear(12, 20), nn.SiLU(), nn.Linear(20, 8))
        self.register_buffer("scale", torch.full((8,), 1e-5))
        self.scale: Tensor

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        out: Tensor = self.left_tower(left) + self.scale * self.right_tower(right)
        return out


@sick(
    "unbalanced-gradient",
    "right_tower",
    also={"vanishing-gradient": "of two ways of one length it follows that through the tower under the scale"},
)
def tower_under_a_fixed_scale() -> Built:
    return Held(), (torch.randn(32, 12), torch.randn(32, 12))


class HeldScores(nn.Module):
    """Attention whose scores are multiplied by a constant that a learnt scale should have been."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(width, 32), nn.SiLU())
        self.value = nn.Linear(width, 40)
        self.register_buffer("views", torch.full((2, 32), 1e-4))
        self.views: Tensor

    def forward(self, x: Tensor) -> Tensor:
        query, key = (self.shared(x) * view for view in self.views)
        out: Tensor = (query @ key.mT).softmax(-1) @ self.value(x)
        return out


@sick("vanishing-gradient")
def scores_under_a_fixed_scale() -> Built:
    return HeldScores(), torch.randn(32, 10, 24)


class Scaled(nn.Module):
    """Residual branches under LayerScale, over a trunk with a fault that the small scales are not the reason of."""

    def __init__(self, trunk: nn.Module, head: nn.Module, width: int = 24) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head
        self.branches = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.GELU()) for _ in range(3))
        self.scales = nn.ParameterList(nn.Parameter(torch.full((width,), 1e-5)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk(x)
        for branch, scale in zip(self.branches, self.scales, strict=True):
            x = x + scale * branch(x)
        out: Tensor = self.head(x)
        return out


@sick("vanishing-gradient", "trunk.1", "")
def sigmoids_in_front_of_scaled_branches() -> Built:
    trunk = [layer for _ in range(9) for layer in (nn.Linear(24, 24), nn.Sigmoid())]
    return Scaled(nn.Sequential(*trunk), nn.Linear(24, 3)), torch.randn(32, 24)


@sick("constant-output", "head.1", "head", "")
def softmax_of_one_behind_scaled_branches() -> Built:
    return Scaled(nn.Linear(24, 24), nn.Sequential(nn.Linear(24, 1), nn.Softmax(-1))), torch.randn(32, 24)


class Token(nn.Module):
    """A token that gets what the input says through a scaled branch, and that branch normalises over one value."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.token, self.scale = nn.Parameter(torch.randn(width)), nn.Parameter(torch.full((width,), 1e-5))
        self.enter, self.score, self.norm = nn.Linear(width, width), nn.Linear(width, 1), nn.LayerNorm(1)
        self.leave, self.head = nn.Linear(1, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.leave(self.norm(self.score(torch.tanh(self.enter(x)))))
        out: Tensor = self.head(self.token + self.scale * branch)
        return out


@sick("constant-output", "leave", "score", "enter", "")
def token_whose_scaled_branch_normalises_one_value() -> Built:
    return Token(), torch.randn(32, 24)
