"""Tensors of which every rank holds a copy, or its own part: are the copies equal? A few numbers of each are compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gradcheck_health.model.distributed.groups import shard_key
from gradcheck_health.model.distributed.shards import local
from gradcheck_health.probe.experiments.rank_rows import Groups, Row, differing
from gradcheck_health.probe.statistics.over_ranks import from_all_ranks

_WAVES = 977.0
"""Waves of the projection along one rms of a weight: entries that differ at all are projected differently."""


def copies_apart(tensors: Sequence[torch.Tensor]) -> list[tuple[Groups, float] | None]:
    """Per tensor the groups of ranks whose copies agree, and how far apart they are; None where all agree."""
    return differing(from_all_ranks([[float(shard_key(tensor)), *_values(tensor)] for tensor in tensors])) if tensors else []


def waves(values: torch.Tensor, scale: float) -> torch.Tensor:
    """A fixed direction to project on, made of the weights: each rank makes the part of it that belongs to its own."""
    return torch.sin(values.detach().float().flatten() * (_WAVES / scale) + 0.5)


def _values(tensor: torch.Tensor) -> Row:
    values = local(tensor).detach().float().flatten()
    norm = float(torch.linalg.vector_norm(values, dtype=torch.float64)) if values.numel() else 0.0
    return [float(torch.dot(values, waves(values, 1.0))) if values.numel() else 0.0, norm]
