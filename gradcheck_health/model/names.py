"""Names of modules and parameters, exactly as in `state_dict`, wrapper prefixes stripped, and what kind of thing they are."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.sandbox.garbage import collector_paused
from gradcheck_health.model.tree import modules, named_modules
from gradcheck_health.model.wrappers import own_class


class NamedParameter(NamedTuple):
    """A parameter under its first name."""

    tensor: nn.Parameter
    name: str
    layer: str
    kind: str
    role: str
    aliases: tuple[str, ...]


def layer_names(model: nn.Module) -> dict[int, str]:
    """id(module) -> its first name."""
    return {id(module): name for name, module in named_modules(model)}


def registered(model: nn.Module) -> set[int]:
    """id of every tensor that the model calls its parameter, also where it overrides `parameters()`."""
    found = {id(p) for module in modules(model) for p in module._parameters.values() if p is not None}
    if getattr(model.parameters, "__func__", None) is not nn.Module.parameters:
        with contextlib.suppress(Exception):  # the override is the user's
            found |= {id(p) for p in model.parameters()}
    return found


@collector_paused()
def named_parameters(model: nn.Module) -> list[NamedParameter]:
    """Every parameter once, tied ones under their first name with the others as aliases."""
    found: dict[int, list[tuple[str, nn.Module, str, nn.Parameter]]] = {}
    for prefix, module in named_modules(model, remove_duplicate=False):
        kind = own_class(module).__name__
        for key, parameter in module._parameters.items():
            if parameter is not None:
                full = f"{prefix}.{key}" if prefix else key
                found.setdefault(id(parameter), []).append((full, module, kind, parameter))
    named = []
    for places in found.values():
        name, module, kind, parameter = places[0]
        aliases = tuple(dict.fromkeys(alias for alias, *_ in places[1:] if alias != name)) if len(places) > 1 else ()
        layer = name.rpartition(".")[0]
        named.append(NamedParameter(parameter, name, layer, kind, _role(name, module, kind, parameter), aliases))
    return named


def _role(name: str, module: nn.Module, kind: str, parameter: torch.Tensor) -> str:
    key = name.rpartition(".")[2]
    shape = () if is_lazy(parameter) else parameter.shape
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "embedding" if module.padding_idx is None else "padded embedding"
    if len(shape) == 0:
        return "scalar"
    if len(shape) == 1:
        return "bias" if "bias" in key or key == "beta" else "scale" if "norm" in kind.lower() else "vector"
    return "bias" if key.startswith("bias") else "weight"
