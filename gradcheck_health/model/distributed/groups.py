"""How the ranks share the work of a model: which of them have batches of their own, and what averages their gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradcheck_health.model.distributed.kinds import REPLICATED, is_sharded
from gradcheck_health.model.distributed.pipeline import Pipeline
from gradcheck_health.model.distributed.ranks import current
from gradcheck_health.model.distributed.shards import fsdp_groups
from gradcheck_health.model.tree import modules


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a model is spread, as seen from one rank."""

    name: str
    place: int
    """Of this rank among those with batches of their own: ranks with the same place take the same batch."""
    places: int
    averages: bool
    """Backward brings the gradients of the places together."""
    unsynchronised: bool = False
    """That is turned off at the moment."""
    tolerates_unused: bool = True
    """A parameter that forward does not use on some rank does not stop the others."""


def scheme(model: nn.Module, rank: int, size: int) -> Scheme:
    """Of a model as it was handed over, with its wrappers."""
    if isinstance(model, Pipeline):
        return Scheme("pipeline", 0, 1, False)
    for module in model.modules():
        if type(module).__name__ in REPLICATED:
            wrapper: Any = module
            off, tolerant = not wrapper.require_backward_grad_sync, wrapper.find_unused_parameters or wrapper.static_graph
            return Scheme(
                "DistributedDataParallel", wrapper.process_group.rank(), wrapper.process_group.size(), True, off, tolerant
            )
    groups = fsdp_groups(model)
    if groups:
        mesh = groups[0].mesh_info.mesh
        place = 0
        for axis, coordinate in enumerate(mesh.get_coordinate() or ()):
            place = place * mesh.size(axis) + coordinate
        return Scheme(
            "fully_shard", place, mesh.size(), True, not all(one.reduce_grads and one.all_reduce_grads for one in groups)
        )
    if any(is_sharded(parameter) for parameter in model.parameters()):
        return Scheme("tensor parallel", 0, 1, False)
    return Scheme("replicas", rank, size, False)


@contextlib.contextmanager
def ranks_apart(model: nn.Module) -> Iterator[None]:
    """DistributedDataParallel around parts of a model expects no backward pass after this forward: it would wait in it for a
    gradient of every parameter, on every rank.
    """
    held: list[Any] = [] if current() is None else [one for one in modules(model) if type(one).__name__ in REPLICATED]
    with contextlib.ExitStack() as stack:
        for wrapper in held:
            stack.enter_context(wrapper.no_sync())
        yield


def shard_key(tensor: Any) -> int:
    """Ranks with the same number hold the same part of a tensor; -1 where it is copied to all of them."""
    if not is_sharded(tensor) or tensor.device_mesh.get_coordinate() is None:
        return -1
    key = 0
    for axis, placement in enumerate(tensor.placements):
        if not placement.is_replicate() and not placement.is_partial():
            key = key * tensor.device_mesh.size(axis) + tensor.device_mesh.get_coordinate()[axis] + 1
    return key or -1
