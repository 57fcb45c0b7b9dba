"""Norms and counts of many tensors in one pass, and one transfer to the host."""

from __future__ import annotations

from collections.abc import Sequence

import torch


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


def differences(new: Sequence[torch.Tensor], old: Sequence[torch.Tensor]) -> list[float]:
    """Norms of new - old, pair by pair."""
    pairs = [(plain(a), plain(b)) for a, b in zip(new, old, strict=True)]
    wide = [a.float() - b.float() if a.dtype in (torch.float16, torch.bfloat16) else a - b for a, b in pairs]
    return norms(wide)


def counts(
    new: Sequence[torch.Tensor], old: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]
) -> list[tuple[int, int]]:
    """(entries with a gradient other than zero, those of them that were changed), tensor by tensor."""
    found: list[torch.Tensor] = []
    for after, before, gradient in zip(new, old, gradients, strict=True):
        pushed = plain(gradient) != 0
        found += [pushed.sum(), ((plain(after) != plain(before)) & pushed).sum()]
    numbers = _numbers(found)
    return [(int(a), int(b)) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]


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
