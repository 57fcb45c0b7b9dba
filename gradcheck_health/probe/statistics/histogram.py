"""How the entries of gradients are spread over the powers of ten: a sample of each tensor, all of them counted at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from gradcheck_health.model.sandbox.garbage import collector_paused
from gradcheck_health.probe.statistics.tensor_stats import in_a_row, is_small, plain

SAMPLE = 256
"""Entries of a tensor that are examined, at most: a share of 2 % is seen, and a wide model costs no more."""
LOWEST, HIGHEST = -46, 38
"""Powers of ten that have a bin of their own: what float32 holds. Beyond them the last bin counts."""
_BINS = HIGHEST - LOWEST + 3  # zeros and what is not finite, too
_TOGETHER = 1024
"""Samples that are counted at once: a call for each costs more than they do, and all at once would take much memory."""
_CPU = torch.device("cpu")


class Spread(NamedTuple):
    """The sampled entries of one tensor."""

    zeros: int = 0
    decades: tuple[tuple[int, int], ...] = ()
    """(floor(log10 |entry|), how many), ascending; zeros and what is not finite are in none."""


_NONE = Spread()


@collector_paused()
def spreads(tensors: Sequence[torch.Tensor | None]) -> list[Spread]:
    """One `Spread` for each tensor; an empty one for None and for what holds no floating values."""
    found = [_NONE] * len(tensors)
    alike: dict[tuple[torch.device, torch.dtype], list[tuple[int, torch.Tensor]]] = defaultdict(list)
    for i, tensor in enumerate(tensors):
        if tensor is None:
            continue
        if is_small(tensor, SAMPLE):
            alike[_CPU, tensor.dtype].append((i, tensor))
        elif (values := plain(tensor)) is not None and values.numel():
            alike[values.device, values.dtype].append((i, sample(values)))
    for members in alike.values():
        for k in range(0, len(members), _TOGETHER):
            part = members[k : k + _TOGETHER]
            for (i, _), spread in zip(part, _spreads([sample for _, sample in part]), strict=True):
                found[i] = spread
    return found


def sample(values: torch.Tensor) -> torch.Tensor:
    """At most `SAMPLE` entries, evenly spread, as a vector."""
    flat = values.reshape(-1)
    # an odd step walks over all columns of a matrix whose width is even
    step = flat.numel() // SAMPLE | 1
    return flat[::step][:SAMPLE]


def _spreads(samples: list[torch.Tensor]) -> Iterator[Spread]:
    """Of samples of one dtype on one device: all entries are sorted into bins at once."""
    entries = in_a_row(samples).abs()
    bins = entries.log10().floor().clamp(LOWEST, HIGHEST).nan_to_num(HIGHEST + 1).long() - LOWEST + 1
    bins[entries == 0] = 0
    bins[entries.isinf()] = _BINS - 1
    sizes = torch.tensor([sample.numel() for sample in samples], device=bins.device)
    rows = torch.repeat_interleave(torch.arange(len(samples), device=bins.device), sizes)
    counted = torch.bincount(rows * _BINS + bins, minlength=len(samples) * _BINS)
    filled = counted.nonzero().flatten()
    zeros = [0] * len(samples)
    decades: list[list[tuple[int, int]]] = [[] for _ in samples]
    for place, count in zip(filled.tolist(), counted[filled].tolist(), strict=True):
        row, bin_ = divmod(place, _BINS)
        if bin_ == 0:
            zeros[row] = count
        elif bin_ < _BINS - 1:
            decades[row].append((LOWEST + bin_ - 1, count))
    return map(Spread, zeros, map(tuple, decades))
