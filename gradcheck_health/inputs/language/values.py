"""Draw the tensors of a plan, deterministically and without touching the global random state."""

from __future__ import annotations

import types
import zlib
from collections.abc import Callable
from typing import Any

import torch

from gradcheck_health.inputs.plan import Const, Group, Leaf, Node, Path, Plan

Fill = Callable[[Leaf, tuple[int, ...], int, torch.Generator], torch.Tensor]


def normal(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """N(0, 1); integers uniform in their range."""
    if leaf.among:
        return torch.tensor(leaf.among)[torch.randint(len(leaf.among), shape, generator=rng)]
    if leaf.kind == "int":
        return torch.randint(leaf.low, max(high, leaf.low + 1), shape, generator=rng)
    if leaf.kind == "bool":
        return torch.rand(shape, generator=rng) < 0.9
    if leaf.kind == "complex":
        return torch.randn(shape, generator=rng, dtype=torch.complex64)
    return torch.randn(shape, generator=rng)


def uniform(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Floats in [0, 1): probabilities, times, coordinates."""
    return torch.rand(shape, generator=rng)


def distinct(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Probabilities that sum to one over the last axis."""
    return torch.rand(shape, generator=rng).softmax(-1) if shape else torch.rand(shape, generator=rng)


def log_distinct(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Log-probabilities over the last axis."""
    return torch.randn(shape, generator=rng).log_softmax(-1)


def signs(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """+1 or -1."""
    return (torch.rand(shape, generator=rng) < 0.5).float() * 2 - 1


def full(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Every length is the longest."""
    return torch.full(shape, high)


def mask(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Mostly true: every row keeps a prefix of at least three quarters, the first row all of it."""
    if not shape:
        return torch.ones(())
    length = shape[-1]
    shortest = max(1, -(-3 * length // 4))
    keep = torch.randint(shortest, length + 1, shape[:-1], generator=rng)
    if keep.numel():
        keep.reshape(-1)[0] = length
    return (torch.arange(length) < keep.unsqueeze(-1)).float()


def padding(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """The opposite convention: mostly false, true marks padding at the end."""
    return 1 - mask(leaf, shape, high, rng)


def causal(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Additive float mask or boolean mask that forbids later positions; square in the last two axes."""
    if len(shape) < 2:
        return torch.zeros(shape)
    above = torch.ones(shape[-2:]).triu(1).expand(shape)
    return above.clone() if leaf.kind != "float" else torch.zeros(shape).masked_fill(above.bool(), float("-inf"))


def adjacency(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """A symmetric 0/1 matrix with self loops, so that no row sums to zero."""
    dense = (torch.rand(shape, generator=rng) < 0.4).float()
    if len(shape) < 2 or shape[-1] != shape[-2]:
        return dense
    return ((dense + dense.transpose(-1, -2) + torch.eye(shape[-1])) > 0).float()


def lengths(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Sequence lengths in [half, high], longest first (packed sequences want them sorted), the first one full."""
    drawn = torch.randint(max(1, high // 2), high + 1, shape, generator=rng)
    if drawn.numel():
        drawn.reshape(-1)[0] = high
    return drawn.sort(descending=True).values if shape else drawn


def offsets(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Starts of consecutive bags: 0 first, increasing, below high."""
    count = shape[-1] if shape else 1
    return ((torch.arange(count) * max(high, 1)) // max(count, 1)).expand(shape).clone()


def boundaries(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Cumulative boundaries: 0 first, high last."""
    return torch.linspace(0, high, shape[0] if shape else 1).round()


def segments(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Sorted ids 0, 0, 1, 1, 2 ...: which graph a node belongs to; every id below high occurs."""
    count = shape[0] if shape else 1
    return (torch.arange(count) * max(high, 1)) // max(count, 1)


def positions(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """0, 1, 2 ... along the last axis."""
    return torch.arange(shape[-1] if shape else 1).expand(shape).clone()


def zeros(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """All zero."""
    return torch.zeros(shape)


def ones(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """All one."""
    return torch.ones(shape)


def grid(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Patches of images in time, height and width: every row is (1, high, high)."""
    drawn = torch.full(shape, high)
    drawn[..., 0] = 1
    return drawn


def boxes(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Boxes x1 < x2, y1 < y2 inside a square of side high (1 where nothing is known)."""
    corners = torch.rand((*shape[:-1], 2, 2), generator=rng)
    ordered = torch.cat([corners.amin(-2) * 0.9, corners.amax(-2) * 0.9 + 0.1], -1)
    return ordered * max(high, 1)


def rotation(leaf: Leaf, shape: tuple[int, ...], high: int, rng: torch.Generator) -> torch.Tensor:
    """Random orthogonal matrices in the last two axes."""
    orthogonal: torch.Tensor = torch.linalg.qr(torch.randn(shape, generator=rng)).Q
    return orthogonal


FILLS: dict[str, Fill] = {
    f.__name__: f
    for f in (
        normal, uniform, distinct, log_distinct, signs, full, mask, padding, causal, adjacency, lengths,
        offsets, boundaries, segments, positions, zeros, ones, grid, boxes, rotation,
    )
}  # fmt: skip

_DTYPES = {"int": torch.int64, "bool": torch.bool}


def draw(plan: Plan, leaf: Leaf, path: Path, seed: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """One tensor. The stream depends on the seed and the path alone: editing one argument leaves the others as they were."""
    rng = torch.Generator().manual_seed((seed * 1_000_003 + zlib.crc32(repr(path).encode())) % (1 << 62))
    high = 2 if leaf.high is None else plan.size(leaf.high)
    # the default device may be another one: what is drawn must not depend on it
    with torch.device("cpu"):
        value = FILLS[leaf.fill](leaf, plan.shape(leaf), high, rng)
        if leaf.placeholder is not None and value.dim() == 2:
            token, count = leaf.placeholder
            value = torch.where(value == token, leaf.low if token != leaf.low else leaf.low + 1, value)
            value[:, 1 : 1 + count] = token
        if leaf.end is not None and value.dim():
            value[..., -1] = leaf.end
    wanted = getattr(torch, leaf.dtype) if leaf.dtype else _DTYPES.get(leaf.kind, dtype)
    if leaf.kind == "complex" and not leaf.dtype:
        wanted = torch.complex128 if dtype is torch.float64 else torch.complex64
    return value.to(device=device, dtype=wanted)


def materialise(plan: Plan, seed: int, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Every argument of the plan as a value, by its name."""
    return {name: _build(plan, node, (name,), seed, device, dtype) for name, node in plan.arguments}


def _build(plan: Plan, node: Node, path: Path, seed: int, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(node, Const):
        return node.value.clone() if isinstance(node.value, torch.Tensor) else node.value
    if isinstance(node, Leaf):
        return draw(plan, node, path, seed, device, dtype)
    built = {key: _build(plan, item, (*path, key), seed, device, dtype) for key, item in node.items}
    return _collect(node, built)


def _collect(node: Group, built: dict[str | int, Any]) -> Any:
    if node.form == "dict":
        return built
    if node.form == "object":
        return types.SimpleNamespace(**{str(key): value for key, value in built.items()})
    return tuple(built.values()) if node.form == "tuple" else list(built.values())
