"""Norms and counts of many tensors in one pass, and one transfer to the host."""

from __future__ import annotations

from collections.abc import Sequence

import torch

SAMPLE = 2**14
"""Entries of a tensor that are counted."""


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """Dense and real, without a graph; float8 and the like come out as float32."""
    values = tensor.detach()
    if values.layout != torch.strided:
        values = values.to_dense()
    if values.is_complex():
        values = torch.view_as_real(values)
    return values.float() if values.is_floating_point() and values.element_size() == 1 else values


def norms(tensors: Sequence[torch.Tensor]) -> list[float]:
    """Euclidean norms; NaN or Inf where an entry is."""
    wide = [one.float() if one.dtype in (torch.float16, torch.bfloat16) else one for one in map(plain, tensors)]
    wide = [one if one.is_floating_point() else one.double() for one in wide]
    if not wide:
        return []
    return _numbers(torch._foreach_norm(wide))


def changes(
    new: Sequence[torch.Tensor], old: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]
) -> tuple[list[float], list[tuple[int, int]]]:
    """Norms of new - old; and how many entries have a gradient other than zero, and how many of those were changed.

    The entries are counted over a sample of at most `SAMPLE` a tensor, unless no gradient lies in it.
    """
    pairs = [(plain(a), plain(b)) for a, b in zip(new, old, strict=True)]
    moves = [a.float() - b.float() if a.dtype in (torch.float16, torch.bfloat16) else a - b for a, b in pairs]
    counts = _counts(moves, gradients, sampled=True)
    unseen = [i for i, (pushed, _) in enumerate(counts) if not pushed and gradients[i] is not None]
    for i, pair in zip(unseen, _counts([moves[i] for i in unseen], [gradients[i] for i in unseen], sampled=False), strict=True):
        counts[i] = pair
    return norms(moves), counts


def _counts(moves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None], *, sampled: bool) -> list[tuple[int, int]]:
    found: list[torch.Tensor] = []
    for move, gradient in zip(moves, gradients, strict=True):
        if gradient is None:
            found += [torch.zeros((), device=move.device)] * 2
            continue
        pushed = (_sample(plain(gradient)) if sampled else plain(gradient)) != 0
        moved = (_sample(move) if sampled else move) != 0
        found += [pushed.sum(), (moved & pushed).sum()]
    numbers = [int(one) for one in _numbers(found)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _sample(tensor: torch.Tensor) -> torch.Tensor:
    step = tensor.numel() // SAMPLE | 1 if tensor.numel() > SAMPLE else 1
    return tensor.reshape(-1)[::step]


def nonfinite(tensor: torch.Tensor) -> int:
    """Entries that are NaN or Inf."""
    values = plain(tensor)
    return int((~torch.isfinite(values)).sum()) if values.is_floating_point() else 0


def _numbers(scalars: Sequence[torch.Tensor]) -> list[float]:
    """One transfer for each device."""
    by_device: dict[torch.device, list[int]] = {}
    for i, scalar in enumerate(scalars):
        by_device.setdefault(scalar.device, []).append(i)
    values = [0.0] * len(scalars)
    for places in by_device.values():
        for i, value in zip(places, torch.stack([scalars[i].double() for i in places]).tolist(), strict=True):
            values[i] = value
    return values
