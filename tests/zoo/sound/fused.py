"""One weight makes several things, and some of its rows get no gradient on a batch for a reason, or only seem to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound


class Monitored(nn.Module):
    """Half of the projection comes out by itself, detached, for a plot."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.head = nn.Linear(12, 32), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.tanh(self.both(x))
        return self.head(both), both[:, 16:].detach()


@sound
def half_of_a_projection_returned_for_a_plot() -> Built:
    return Monitored(), torch.randn(32, 12)


class StraightThrough(nn.Module):
    """A hard gate whose derivative is that of the soft one."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.head = nn.Linear(12, 48), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).chunk(2, -1)
        soft = torch.sigmoid(gate)
        hard = soft + ((soft > 0.5).to(soft) - soft).detach()
        out: Tensor = self.head(value * hard)
        return out


@sound
def straight_through_gate_of_a_fused_weight() -> Built:
    return StraightThrough(), torch.randn(32, 12)


class Sometimes(nn.Module):
    """The queries are held still in half of the passes (a regulariser), and learn in the others."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(16, 48), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        if torch.rand(()) < 0.5:
            q = q.detach()
        out: Tensor = self.head(nn.functional.scaled_dot_product_attention(q, k, v).mean(1))
        return out


@sound
def queries_held_still_in_half_of_the_passes() -> Built:
    return Sometimes(), torch.randn(32, 5, 16)


class Masked(nn.Module):
    """A block of units that a mask of the architecture leaves out for good: pruned, and no part of the output."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.head = nn.Linear(12, 32), nn.Linear(32, 3)
        self.register_buffer("kept", (torch.arange(32) < 24).float())
        self.kept: Tensor

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(self.wide(x)) * self.kept)
        return out


@sound
def pruned_block_of_units() -> Built:
    return Masked(), torch.randn(32, 12)


class Baseline(nn.Module):
    """A policy and a value out of one layer: the value is a baseline here, and learns from its own error."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(12, 32)
        self.policy, self.value = nn.Linear(16, 4), nn.Linear(16, 1)

    def forward(self, x: Tensor, action: Tensor, reward: Tensor) -> Tensor:
        a, b = torch.tanh(self.both(x)).chunk(2, -1)
        value = self.value(b).squeeze(-1)
        chosen = self.policy(a).log_softmax(-1).gather(1, action[:, None]).squeeze(1)
        loss: Tensor = ((value.detach() - reward) * chosen).mean() + 0.5 * (value - reward).square().mean()
        return loss


@sound
def baseline_beside_the_policy() -> Built:
    return Baseline(), (torch.randn(32, 12), torch.randint(0, 4, (32,)), torch.randn(32))
