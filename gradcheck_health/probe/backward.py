"""Backward passes: into the parameters of the model and no other tensor, or with respect to given tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.model.distributed.shards import stand_ins
from gradcheck_health.model.names import registered
from gradcheck_health.model.sandbox.saved_tensor import SavedGradient
from gradcheck_health.probe.graph import graph as graphs
from gradcheck_health.probe.objective import Objective


class _Seed(torch.autograd.Function):
    """A scalar whose gradients with respect to its arguments are given.

    `torch.autograd.backward(roots, gradients)` is the same, and imports sympy to compare shapes: a third of a second.
    """

    @staticmethod
    def forward(ctx: Any, gradients: tuple[torch.Tensor, ...], *roots: torch.Tensor) -> torch.Tensor:
        ctx.gradients = gradients
        return torch.zeros(())

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> Any:
        return (None, *ctx.gradients)


def backward(goal: Objective, model: nn.Module, leaves: Iterable[torch.Tensor] | None = None) -> None:
    """The gradient of the goal into `.grad` of the model's parameters, and of no other tensor.

    Args:
        leaves: those of the graph, where it has been walked already.
    """
    if not goal.roots:
        return
    if leaves is None:
        leaves = leaves_of(goal)
    own = registered(model) | stand_ins(model).keys()
    foreign = [SavedGradient(leaf) for leaf in leaves if id(leaf) not in own]
    try:
        for saved in foreign:
            saved.detach()
        with torch.inference_mode(False), torch.enable_grad():
            start = _Seed.apply(goal.gradients, *goal.roots)  # type: ignore[no-untyped-call]
        with jointly("backward"):
            start.backward()
    finally:
        for saved in foreign:
            saved.restore()


def slopes(
    outputs: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor], directions: Sequence[torch.Tensor]
) -> tuple[torch.Tensor | None, ...]:
    """The gradient of <outputs, directions> with respect to each input; None where it does not depend on it."""
    start = _Seed.apply(tuple(directions), *outputs)  # type: ignore[no-untyped-call]
    return torch.autograd.grad(start, list(inputs), allow_unused=True)


def leaves_of(goal: Objective) -> list[torch.Tensor]:
    """The leaves of its graph; none where the graph is too large to be walked."""
    graph = graphs.walk([root.grad_fn for root in goal.roots if root.grad_fn is not None])
    return [] if graph is None else graph.variables()
