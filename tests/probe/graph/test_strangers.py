"""Leaves that are no parameters: which of them are gone with the pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import check_gradients


class Leaf(nn.Module):
    """Adds a leaf that forward makes, or finds."""

    def __init__(self, make: Callable[[Leaf, Tensor], Tensor], *, lost: bool = False) -> None:
        super().__init__()
        self.layer, self.make = nn.Linear(8, 8), make
        self.kept = [torch.zeros(8, requires_grad=True)]
        self.beside = nn.Parameter(torch.ones(8)) if lost else None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x) + self.make(self, x)
        return out


def asked(model: Leaf, x: Tensor) -> Tensor:
    """As an audio encoder, for the sake of checkpointing."""
    return x[:, :].detach().requires_grad_()


def remembered(model: Leaf, x: Tensor) -> Tensor:
    model.kept.append(x.detach().clone().requires_grad_())
    return model.kept[-1]


def graph_kept(model: Leaf, x: Tensor) -> Tensor:
    """Held by autograd alone."""
    model.kept.append(2 * x.detach().clone().requires_grad_())
    return model.kept[-1]


@pytest.mark.parametrize(
    ("make", "lost", "left"),
    [
        (asked, False, 0),
        (asked, True, 1),  # it may be made from the parameter that has no gradient
        (lambda model, x: model.kept[0], False, 1),
        (lambda model, x: nn.Parameter(x[0].clone()), False, 1),
        (remembered, False, 1),
        (graph_kept, False, 1),
    ],
    ids=["asked for a gradient", "beside a lost one", "held", "a parameter", "remembered", "under a graph that is kept"],
)
def test_what_is_gone_with_the_pass_is_no_suspect(make: Callable[[Leaf, Tensor], Tensor], lost: bool, left: int) -> None:
    torch.manual_seed(0)
    trace = check_gradients(Leaf(make, lost=lost), torch.randn(16, 8), select=["unregistered-parameter"]).trace
    assert trace.leaves == left
    assert ("foreign_leaves" in trace.facts) == bool(left)
