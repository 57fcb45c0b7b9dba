"""Memory that a constructor reserved and nobody wrote: `torch.empty`, `torch.Tensor(n, m)`, `to_empty()` after the meta device.

The model is built once more while torch fills such memory with NaN (integers with their largest value): exactly the entries
that hold it then were never written. What the memory happened to hold the first time plays no part.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from gradcheck_health.model.tree import named_modules
from gradcheck_health.model.wrappers import own_class
from gradcheck_health.records.starts import Uninitialized

Masks = Mapping[str, torch.Tensor]
"""Name of a parameter or a buffer -> where its memory was never written."""


def uninitialized(build: Callable[[], nn.Module], model: nn.Module) -> Masks:
    """Where `model`, which `build` made, holds memory that nobody wrote.

    Args:
        build: makes it again, from the same seed.
    """
    with _filled_by_torch():
        again = dict(_tensors(build()))
    own = dict(_tensors(model))
    found = {name: mask for name, tensor in again.items() if name in own and (mask := _marked(tensor)) is not None}
    found = {name: mask for name, mask in found.items() if mask.shape == own[name].shape}
    # where the first one holds the mark, too, its author may have written it: another mark tells
    doubtful = [name for name, mask in found.items() if bool(_marks(own[name])[mask.to(own[name].device)].any())]
    if doubtful:
        with warnings.catch_warnings(), _Zeros():  # type: ignore[no-untyped-call]
            warnings.simplefilter("ignore")
            third = dict(_tensors(build()))
        for name in doubtful:
            mask = found[name] & ~_marks(third[name]).to(found[name].device) if name in third else found[name]
            found[name] = mask
    return {name: mask for name, mask in found.items() if bool(mask.any())}


def describe(model: nn.Module, masks: Masks) -> tuple[Uninitialized, ...]:
    """The records of what was found."""
    kinds = {path: own_class(module).__name__ for path, module in named_modules(model)}
    parameters = {
        f"{path}.{key}".lstrip(".")
        for path, module in named_modules(model, remove_duplicate=False)
        for key in module._parameters
    }
    return tuple(
        Uninitialized(
            name, kinds.get(name.rpartition(".")[0], ""), int(mask.sum()), mask.numel(), buffer=name not in parameters
        )
        for name, mask in masks.items()
    )


def write(model: nn.Module, masks: Masks, seed: int) -> None:
    """Put into such memory what an initialisation might have put there: what it held must not decide any verdict."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in _tensors(model):
            mask = masks.get(name)
            if mask is None or mask.shape != tensor.shape:
                continue
            drawn = torch.zeros(tensor.shape)
            if tensor.is_floating_point():
                fan_in = max(1, tensor[0].numel()) if tensor.dim() > 1 else 1
                drawn = torch.randn(tensor.shape, generator=generator) / math.sqrt(fan_in)
                drawn = drawn if tensor.dim() > 1 else drawn.abs() + 0.1  # a vector may be a variance or a gain
            tensor.copy_(torch.where(mask.to(tensor.device), drawn.to(tensor.device, tensor.dtype), tensor))


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and persistent buffers, named as in `state_dict`, wrapper prefixes stripped."""
    for path, module in named_modules(model):
        passing = getattr(module, "_non_persistent_buffers_set", ())
        held = {**module._parameters, **{key: value for key, value in module._buffers.items() if key not in passing}}
        for key, tensor in held.items():
            if tensor is not None and not is_lazy(tensor) and tensor.layout == torch.strided and not tensor.is_meta:
                yield f"{path}.{key}" if path else key, tensor.detach()


def _marks(tensor: torch.Tensor) -> torch.Tensor:
    """Where it holds what torch fills unwritten memory with."""
    if tensor.is_floating_point() or tensor.is_complex():
        return torch.isnan(tensor)
    if tensor.dtype == torch.bool or tensor.is_quantized:
        return torch.zeros(tensor.shape, dtype=torch.bool)
    return tensor == torch.iinfo(tensor.dtype).max


def _marked(tensor: torch.Tensor) -> torch.Tensor | None:
    mask = _marks(tensor)
    return mask if bool(mask.any()) else None


@contextlib.contextmanager
def _filled_by_torch() -> Iterator[None]:
    before = torch._C._get_deterministic_algorithms(), torch._C._get_deterministic_algorithms_warn_only()
    settings: Any = torch.utils.deterministic
    fills = settings.fill_uninitialized_memory
    torch._C._set_deterministic_algorithms(True, warn_only=True)
    settings.fill_uninitialized_memory = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        settings.fill_uninitialized_memory = fills
        torch._C._set_deterministic_algorithms(before[0], warn_only=before[1])


class _Zeros(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Whatever reserves memory gets zeros."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if isinstance(out, torch.Tensor) and name.startswith(("empty", "new_empty", "resize")) and not out.is_meta:
            out.zero_()
        return out
