"""Names and modules without the wrappers of torch.compile, FSDP and activation checkpointing."""

from __future__ import annotations

from torch import nn

from gradcheck_health.model.distributed.kinds import is_fully_sharded
from gradcheck_health.model.tree import WRAPPERS


def logical(name: str) -> str:
    """`_orig_mod.encoder.0._checkpoint_wrapped_module.weight` -> `encoder.0.weight`."""
    parts = name.split(".")
    return name if WRAPPERS.isdisjoint(parts) else ".".join(part for part in parts if part not in WRAPPERS)


def own_class(module: nn.Module) -> type[nn.Module]:
    """The class that the user wrote: `fully_shard` puts one of its own in front of it."""
    kind = type(module)
    return kind.__bases__[-1] if kind.__name__.startswith("FSDP") and is_fully_sharded(module) else kind


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside `torch.compile`, DDP, DataParallel, FSDP wrappers."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in ("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"):
            inner = getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def is_compiled(model: nn.Module) -> bool:
    """`torch.compile(model)`, or a model after `model.compile()`."""
    return hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None
