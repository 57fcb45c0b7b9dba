"""What this rank holds of a tensor: the local part of a DTensor, and the parameters that stand in for it while forward runs."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.distributed.kinds import is_fully_sharded, is_sharded
from gradcheck_health.model.tree import modules


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that lies in this process: the tensor itself, unless it is a DTensor."""
    if not is_sharded(tensor):
        return tensor
    with torch.no_grad():
        sharded: Any = tensor
        if any(placement.is_partial() for placement in sharded.placements):  # a sum that nobody has taken yet
            from torch.distributed.tensor import Replicate

            whole = [Replicate() if placement.is_partial() else placement for placement in sharded.placements]
            sharded = sharded.redistribute(placements=whole)
        part: torch.Tensor = sharded.to_local().detach()
        return part


def local_part(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that every rank has as a whole, cut as the parameter `like` is."""
    if not is_sharded(like):
        return whole
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = like
    return local(distribute_tensor(whole, sharded.device_mesh, sharded.placements, src_data_rank=None))


def stand_ins(model: nn.Module) -> dict[int, nn.Parameter]:
    """id of each whole parameter that `fully_shard` puts in place while forward runs -> the sharded one that the user sees.

    Empty before the first forward.
    """
    found: dict[int, nn.Parameter] = {}
    for one in _fsdp_parameters(model):
        if (whole := getattr(one, "_unsharded_param", None)) is not None:
            found[id(whole)] = one.sharded_param
    return found


def whole_parameters(model: nn.Module) -> dict[int, nn.Parameter]:
    """The other way round: id of a sharded parameter -> what will stand in for it."""
    for module in modules(model):
        if is_fully_sharded(module):  # one after another, so that no more than one of them is whole at a time
            sharded: Any = module
            sharded.unshard()
            sharded.reshard()
    return {
        id(one.sharded_param): whole
        for one in _fsdp_parameters(model)
        if (whole := getattr(one, "_unsharded_param", None)) is not None
    }


def to_float64(model: nn.Module) -> None:
    """`model.double()`, which for a DTensor would swap the insides of two objects, and nothing could swap them back."""
    if not any(is_sharded(parameter) for parameter in model.parameters()):
        model.double()
        return
    made: dict[int, nn.Parameter] = {}
    for module in modules(model):
        for key, parameter in module._parameters.items():
            if parameter is not None and parameter.is_floating_point():
                if id(parameter) not in made:
                    made[id(parameter)] = nn.Parameter(parameter.detach().double(), parameter.requires_grad)
                module._parameters[key] = made[id(parameter)]
        for key, buffer in module._buffers.items():
            module._buffers[key] = buffer.double() if buffer is not None and buffer.is_floating_point() else buffer
    settle(model)


def settle(model: nn.Module) -> None:
    """Every module of `fully_shard` holds its shards again, and knows those that are registered now.

    After a forward that raised it holds whole parameters and waits for the rest of it; after a cast that was put back it knows
    the shards of the cast, and the room for whole parameters of the other kind.
    """
    if not _any_sharded():
        return
    sharded: list[Any] = [module for module in modules(model) if is_fully_sharded(module)]
    for module in sharded:
        if hasattr(module, "reset_iter_state") and getattr(module._get_fsdp_state(), "_is_root", False):
            with contextlib.suppress(RuntimeError):
                module.reset_iter_state()
    for module in sharded:
        module.reshard()
    for one in _fsdp_parameters(model):
        one.reset_sharded_param()
        room = [tensor.dtype for tensor in one.all_gather_outputs]
        if room and one.param_dtype is None and room != [one.sharded_param.dtype]:
            one.all_gather_outputs = []
            del one._unsharded_param
    for group in fsdp_groups(model):
        if getattr(group, "_orig_dtype", None) is not None:
            group._init_mp_dtypes()


def _any_sharded() -> bool:
    """`fully_shard` was called in this process: it makes a class for each class of modules, and a check asks often."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and bool(fsdp.FSDPModule.__subclasses__())


def _fsdp_parameters(model: nn.Module) -> list[Any]:
    return [one for group in fsdp_groups(model) for one in group.fsdp_params]


def fsdp_groups(model: nn.Module) -> list[Any]:
    """What `fully_shard` knows of the parameters that it gathers together; torch gives no public way to it."""
    if not _any_sharded():
        return []
    found: dict[int, Any] = {}
    for module in modules(model):
        if is_fully_sharded(module):
            state: Any = module._get_fsdp_state()  # type: ignore[operator]
            groups = getattr(state, "_fsdp_param_groups", None) or [getattr(state, "_fsdp_param_group", None)]
            found |= {id(group): group for group in groups if group is not None}
    return list(found.values())
