"""How the entries of gradients are spread over the powers of ten: a sample of each tensor, all of them counted at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gradcheck_health.probe.statistics import plain

SAMPLE = 256
"""Entries of a tensor that are looked at, at most: a share of 2 % is seen, and a wide model costs no more."""
LOWEST, HIGHEST = -46, 38
"""Powers of ten that have a bin of their own: what float32 holds. Beyond them the last bin counts."""
_BINS = HIGHEST - LOWEST + 3  # zeros and what is not finite, too


@dataclass(frozen=True, slots=True)
class Spread:
    """The sampled entries of one tensor."""

    zeros: int = 0
    decades: tuple[tuple[int, int], ...] = ()
    """(floor(log10 |entry|), how many), ascending; zeros and what is not finite are in none."""


def spreads(tensors: Sequence[torch.Tensor | None]) -> list[Spread]:
    """One `Spread` for each tensor; an empty one for None and for what holds no floating values."""
    found = [Spread()] * len(tensors)
    alike: dict[tuple[torch.device, torch.dtype], list[tuple[int, torch.Tensor]]] = defaultdict(list)
    for i, tensor in enumerate(tensors):
        values = None if tensor is None else plain(tensor)
        if values is not None and values.numel():
            alike[values.device, values.dtype].append((i, _sample(values)))
    for members in alike.values():
        for (i, _), row in zip(members, _counts([sample for _, sample in members]), strict=True):
            decades = tuple((LOWEST + bin_ - 1, count) for bin_, count in row if 0 < bin_ < _BINS - 1)
            found[i] = Spread(row[0][1] if row[0][0] == 0 else 0, decades)
    return found


def _sample(values: torch.Tensor) -> torch.Tensor:
    flat = values.reshape(-1)
    # an odd step walks over all columns of a matrix whose width is even
    step = flat.numel() // SAMPLE | 1
    return flat[::step][:SAMPLE]


def _counts(samples: Sequence[torch.Tensor]) -> list[list[tuple[int, int]]]:
    """Per sample (bin, how many), ascending, for bins that are not empty: zeros, each decade, what is not finite."""
    sizes = torch.tensor([sample.numel() for sample in samples], device=samples[0].device)
    entries = torch.cat(list(samples)).double().abs()
    bins = entries.log10().floor().clamp(LOWEST, HIGHEST).nan_to_num(HIGHEST + 1).long() - LOWEST + 1
    bins[entries == 0] = 0
    bins[entries.isinf()] = _BINS - 1
    rows = torch.repeat_interleave(torch.arange(len(samples), device=bins.device), sizes)
    counted = torch.bincount(rows * _BINS + bins, minlength=len(samples) * _BINS)
    found: list[list[tuple[int, int]]] = [[] for _ in samples]
    filled = counted.nonzero().flatten()
    for place, count in zip(filled.tolist(), counted[filled].tolist(), strict=True):
        found[place // _BINS].append((place % _BINS, count))
    return found
