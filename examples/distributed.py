"""A model that lives in two processes, checked by both of them.

torchrun --nproc-per-node 2 -m gradcheck_health check examples/distributed.py:build
"""

from __future__ import annotations

from torch import nn
from torch.distributed.fsdp import fully_shard


def build() -> nn.Module:
    """The process group is there before this file is imported."""
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Linear(64, 64), nn.LayerNorm(64), nn.GELU()]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    sharded: nn.Module = fully_shard(model)
    return sharded
