"""Norms and counts of many tensors in one pass, and one transfer to the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gradcheck_health.model.distributed.shards import local

SAMPLE = 2**14
"""Entries of a tensor that are compared."""


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """Dense and real, without a graph; float8 and the like come out as float32, of a DTensor what this rank holds."""
    values = local(tensor.detach())
    if values.layout != torch.strided:
        values = values.to_dense()
    if values.is_complex():
        values = torch.view_as_real(values)
    return values.float() if values.is_floating_point() and values.element_size() == 1 else values


def norms(tensors: Sequence[torch.Tensor]) -> list[float]:
    """Euclidean norms; NaN or Inf where an entry is."""
    return numbers(norm_scalars(tensors))


def norm_scalars(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The same, left on the device."""
    wide = [one.float() if one.dtype in (torch.float16, torch.bfloat16) else one for one in map(plain, tensors)]
    wide = [one if one.is_floating_point() else one.double() for one in wide]
    return list(torch._foreach_norm(wide)) if wide else []


@dataclass(frozen=True, slots=True)
class Sample:
    """The entries of one tensor that are compared before and after a step."""

    values: torch.Tensor
    """Shape (entries,), a copy of what they were."""
    places: slice | torch.Tensor
    """Where they lie in the flattened tensor."""
    stands_for: float
    """Entries of the tensor for each of them."""

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        return plain(tensor).reshape(-1)[self.places]

    def move(self, tensor: torch.Tensor) -> torch.Tensor:
        """How far they have come, at least in float32."""
        new, old = self.of(tensor), self.values
        return new.float() - old.float() if new.dtype in (torch.float16, torch.bfloat16) else new - old


def samples(tensors: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None] | None) -> list[Sample]:
    """At most `SAMPLE` entries of each tensor, evenly spread, or where these have no gradient, of those that have one.

    Args:
        gradients: what the step is going to use; None where it computes them itself, and every entry is kept.
    """
    if gradients is None:
        return [_sample(plain(tensor), slice(None)) for tensor in tensors]
    found = [_sample(plain(tensor), slice(None, None, _stride(tensor.numel()))) for tensor in tensors]
    large = [i for i, one in enumerate(found) if one.stands_for > 1 and gradients[i] is not None]
    counts = numbers([found[i].of(gradients[i]).count_nonzero() for i in large])  # type: ignore[arg-type]
    for i, count in zip(large, counts, strict=True):
        if count == 0:  # a table of which a few rows are read
            places = plain(gradients[i]).reshape(-1).nonzero()[:, 0]  # type: ignore[arg-type]
            step = _stride(len(places))
            if len(places):
                found[i] = _sample(plain(tensors[i]), places[::step], len(places))
    return found


def _sample(flat: torch.Tensor, places: slice | torch.Tensor, of: int | None = None) -> Sample:
    values = flat.reshape(-1)[places]
    values = values.clone() if isinstance(places, slice) else values
    return Sample(values, places, (flat.numel() if of is None else of) / max(len(values), 1))


def _stride(entries: int) -> int:
    return entries // SAMPLE | 1 if entries > SAMPLE else 1


def nonfinite(tensor: torch.Tensor) -> int:
    """Entries that are NaN or Inf."""
    values = plain(tensor)
    return int((~torch.isfinite(values)).sum()) if values.is_floating_point() else 0


def numbers(scalars: Sequence[torch.Tensor]) -> list[float]:
    """Numbers on the host; one transfer for each device."""
    kinds: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for i, scalar in enumerate(scalars):
        kinds.setdefault((scalar.device, scalar.dtype), []).append(i)
    by_device: dict[torch.device, tuple[list[int], list[torch.Tensor]]] = {}
    for (device, _), places in kinds.items():
        known, stacked = by_device.setdefault(device, ([], []))
        known += places
        stacked.append(torch.stack([scalars[i] for i in places]).double())
    values = [0.0] * len(scalars)
    for places, rows in by_device.values():
        for i, value in zip(places, torch.cat(rows).tolist(), strict=True):
            values[i] = value
    return values
