"""Sound models under losses that cut them off: the place is the loss, and the operation in it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

LOSS = ("0", "2", "b")
"""The parameters that are cut off."""


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def labels() -> Tensor:
    return torch.arange(32) % 4


def misses(out: Tensor, target: Tensor) -> Tensor:
    return 1 - (out.argmax(1) == target).float().mean()


@sick("cut-gradient", *LOSS, loss=misses, targets=labels())
def share_of_misses_as_a_loss() -> Built:
    return net(), torch.randn(32, 8)


def of_a_copy(out: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(out.detach(), target).requires_grad_()


@sick("cut-gradient", *LOSS, loss=of_a_copy, targets=labels())
def loss_of_a_detached_output() -> Built:
    return net(), torch.randn(32, 8)


def of_numbers(out: Tensor, target: Tensor) -> Tensor:
    return torch.tensor(F.cross_entropy(out, target).item(), requires_grad=True)


@sick("cut-gradient", *LOSS, loss=of_numbers, targets=labels())
def loss_made_of_its_own_number() -> Built:
    return net(), torch.randn(32, 8)


def overlap(out: Tensor, target: Tensor) -> Tensor:
    hard = (torch.sigmoid(out) > 0.5).float().requires_grad_()
    wanted = F.one_hot(target, 4).float()
    return 1 - 2 * (hard * wanted).sum() / (hard.sum() + wanted.sum() + 1)


@sick("cut-gradient", *LOSS, loss=overlap, targets=labels())
def dice_of_a_threshold() -> Built:
    return net(), torch.randn(32, 8)


def in_numpy(out: Tensor, target: Tensor) -> Tensor:
    errors = np.square(out.detach().numpy() - np.eye(4)[target.numpy()])
    return torch.from_numpy(np.asarray(errors.mean())).requires_grad_()


@sick("cut-gradient", *LOSS, loss=in_numpy, targets=labels())
def loss_computed_in_numpy() -> Built:
    return net(), torch.randn(32, 8)


class Two(nn.Module):
    """Two heads on one trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 4), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = torch.relu(self.trunk(x))
        return {"a": self.a(h), "b": self.b(h)}


def without_the_second(out: dict[str, Tensor], target: Tensor) -> Tensor:
    return F.cross_entropy(out["a"], target) + (out["b"].data - 1).square().mean()


@sick("cut-gradient", *LOSS, loss=without_the_second, targets=labels())
def second_term_of_the_loss_has_no_graph() -> Built:
    return Two(), torch.randn(32, 8)
