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


def one_sided(named: Sequence[NamedParameter]) -> tuple[OneSided, ...]:
    """The trainable ones among the wide weights; what is constant is another matter (`Twins`), and a shard is not the whole."""
    extremes: dict[tuple[torch.device, torch.dtype], list[tuple[str, torch.Tensor]]] = defaultdict(list)
    for entry in named:
        tensor = entry.tensor
        if entry.role != "weight" or not tensor.requires_grad or is_lazy(tensor) or is_sharded(tensor) or not is_wide(tensor):
            continue
        if (values := plain(tensor)) is not None and values.numel() >= WIDTH * WIDTH:
            extremes[values.device, values.dtype].append((entry.name, torch.stack(torch.aminmax(sample(values)))))
    found = set()
    for members in extremes.values():
        ends = torch.stack([both for _, both in members]).tolist()
        found |= {name for (name, _), (least, most) in zip(members, ends, strict=True) if 0 < least < most or least < most < 0}
    return tuple(OneSided(entry.name) for entry in named if entry.name in found)


def is_wide(weight: torch.Tensor) -> bool:
    """Many units, of many inputs each."""
    return weight.dim() > 1 and min(len(weight), weight.numel() // max(len(weight), 1)) >= WIDTH
