"""How a model is spread over ranks: known by the classes of its modules and parameters, without importing torch.distributed."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gradcheck_health.model.distributed.pipeline import Pipeline
from gradcheck_health.model.tree import modules

REPLICATED = ("DistributedDataParallel",)
"""Wrappers around a module that every rank holds as a whole."""
_OWN = frozenset((torch.Tensor, nn.Parameter))
"""Most are of these: looking in vain for an attribute takes longer than all else."""
_MOVERS = ("torch.distributed.", Pipeline.__module__)
"""Where the functions are made that move or cast what ranks exchange."""


def is_replicated(model: nn.Module) -> bool:
    """A wrapper around a module that every rank holds as a whole, itself or inside a compiled one."""
    return any(type(module).__name__ in REPLICATED for module in modules(model))


def is_distributed(model: nn.Module) -> bool:
    """Several ranks compute it together: forward or backward of one waits for the others."""
    return any(_is_spread(module) for module in modules(model))


def _is_spread(module: nn.Module) -> bool:
    if isinstance(module, Pipeline) or type(module).__name__ in (*REPLICATED, "FullyShardedDataParallel"):
        return True
    if is_fully_sharded(module):
        return True
    return any(is_sharded(p) for p in module._parameters.values() if p is not None)


def is_fully_sharded(module: nn.Module) -> bool:
    """`fully_shard` was applied to it."""
    return hasattr(type(module), "set_requires_gradient_sync")


def is_sharded(tensor: Any) -> bool:
    """A DTensor: this rank holds its own part of it, or a copy."""
    return type(tensor) not in _OWN and hasattr(tensor, "placements") and hasattr(tensor, "device_mesh")


def is_communication(node: Any) -> bool:
    """A node of the autograd graph that moves or casts what ranks exchange, and computes nothing."""
    return getattr(type(node), "_forward_cls", type(node)).__module__.startswith(_MOVERS)
