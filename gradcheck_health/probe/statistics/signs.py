"""Weights whose entries all have one sign: a sample of each, all of them looked at together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch.nn.parameter import is_lazy

from gradcheck_health.model.distributed.kinds import is_sharded
from gradcheck_health.model.names import NamedParameter
from gradcheck_health.probe.statistics.histogram import sample
from gradcheck_health.probe.statistics.tensor_stats import plain
from gradcheck_health.records.evidence import OneSided

WIDTH = 48
"""Units, and inputs of each, from which on the sum that all units share outweighs what tells them apart."""
_GLANCE = 16
"""Entries that random signs make alike once in 30 000 times."""


def one_sided(named: Sequence[NamedParameter]) -> tuple[OneSided, ...]:
    """The trainable ones among the wide weights; what is constant is another matter (`Twins`), and a shard is not the whole."""
    alike: dict[tuple[torch.device, torch.dtype], list[tuple[str, torch.Tensor]]] = defaultdict(list)
    for entry in named:
        values = plain(entry.tensor) if _is_wide(entry) else None
        if values is not None and values.shape == entry.tensor.shape:  # dense and real
            alike[values.device, values.dtype].append((entry.name, values))
    found = set()
    for members in alike.values():
        # the first entries of one unit have both signs in nearly all weights: few are sampled as a whole
        told = _has_one_sign(torch.stack([values[0].reshape(-1)[:_GLANCE] for _, values in members])).tolist()
        suspects = [member for member, same in zip(members, told, strict=True) if same]
        found |= {name for name, values in suspects if bool(_has_one_sign(sample(values)))}
    return tuple(OneSided(entry.name) for entry in named if entry.name in found)


def _is_wide(entry: NamedParameter) -> bool:
    """A whole weight of many units, of many inputs each."""
    tensor = entry.tensor
    if entry.role != "weight" or not tensor.requires_grad or is_lazy(tensor) or is_sharded(tensor):
        return False
    return tensor.dim() > 1 and min(len(tensor), tensor.numel() // max(len(tensor), 1)) >= WIDTH


def _has_one_sign(entries: torch.Tensor) -> torch.Tensor:
    """Of each row: no zero, no two signs, and not all equal."""
    least, most = torch.aminmax(entries, dim=-1)
    return ((least > 0) | (most < 0)) & (least < most)
