"""Edges that are said to carry no gradient, against the gradient that arrives."""

from __future__ import annotations

import random

import pytest
import torch

from gradcheck_health.probe.graph.graph import walk
from gradcheck_health.probe.graph.spans import silent_edges


def program(seed: int) -> tuple[torch.Tensor, dict[torch.Tensor, torch.Tensor]]:
    """A random chain of concatenations, normalisations, and what takes a part out; and what was put in a row on the way."""
    chance = random.Random(seed)
    parts: dict[torch.Tensor, torch.Tensor] = {}

    def part(*shape: int) -> torch.Tensor:
        made = torch.randn(shape, requires_grad=True) * 1.5
        made.retain_grad()
        parts[made] = made
        return made

    x = part(3, 4, 5)
    kinds = ["cat"] * 4 + ["select", "slice", "norm", "softmax", "mix", "add", "twice", "branch"]
    for kind in (*chance.choices(kinds, k=chance.randint(1, 5)), chance.choice(["norm", "add", "cat"]), "slice"):
        axis = chance.randrange(-x.dim(), x.dim())
        size = x.shape[axis]
        if kind == "cat":
            others = [part(*x.shape) for _ in range(chance.randint(1, 2))]
            x = torch.cat(chance.sample([x, *others], len(others) + 1), axis)
        elif kind == "select" and x.dim() > 1:
            x = x.select(axis, chance.randrange(-size, size))
        elif kind == "slice":
            start = chance.randrange(-size, size)
            slices = [slice(None)] * x.dim()
            slices[axis] = slice(start, None, chance.randint(1, 2))
            x = x[tuple(slices)]
        elif kind == "norm":
            x = torch.nn.functional.layer_norm(x, x.shape[chance.randrange(x.dim()) :])
        elif kind == "softmax":
            x = x.softmax(axis)
        elif kind == "mix":
            x = x + x.mean(axis, keepdim=True)
        elif kind == "add":
            x = torch.relu(x + part(*x.shape[-1:]))
        elif kind == "twice":
            x = torch.cat([x, x], axis)
        else:
            x = x + x.flip(axis)
    return x, parts


@pytest.mark.slow
def test_edges_without_a_gradient_carry_none() -> None:
    """Of 400 random programs; a sixth have such edges."""
    found = 0
    for seed in range(400):
        torch.manual_seed(seed)
        y, parts = program(seed)
        if y.grad_fn is None:
            continue
        graph = walk([y.grad_fn])
        assert graph is not None
        (y * torch.randn_like(y)).sum().backward()
        silent = {(id(graph.nodes[i]), id(graph.nodes[j])) for i, j in silent_edges(graph)}
        for made in parts:
            takers = {
                (id(node), id(made.grad_fn))
                for node in graph.nodes[1:]
                if any(below is made.grad_fn for below, _ in node.next_functions)
            }
            if takers and takers <= silent:
                assert made.grad is None or not made.grad.any(), seed
                found += 1
    assert found > 50


@pytest.mark.parametrize(
    ("taken", "patches"), [(0, True), (1, False), (-1, False), (slice(0, 1), True), (slice(1, None), False)]
)
def test_a_token_that_is_taken_out_again_leaves_the_patches_alone(taken: int | slice, patches: bool) -> None:
    token, image = (torch.randn(2, steps, 8, requires_grad=True) * 2 for steps in (1, 4))
    y = torch.nn.functional.layer_norm(torch.cat([token, image], 1), (8,))[:, taken]
    assert y.grad_fn is not None and image.grad_fn is not None
    graph = walk([y.grad_fn])
    assert graph is not None
    assert [graph.nodes[j] is image.grad_fn for _, j in silent_edges(graph)] == ([patches] if patches or taken != 0 else [])
