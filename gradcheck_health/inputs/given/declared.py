"""Inputs that the model itself declares: a method `gradhealth_inputs()`, Lightning's `example_input_array`, and the like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gradcheck_health.inputs.static.model_info import ModelInfo

_NAMES = ("gradhealth_inputs", "example_input_array", "example_inputs", "dummy_inputs")


def declared(info: ModelInfo) -> tuple[str, Any] | None:
    """(name, value) of the first declaration that holds something; methods are called without arguments."""
    for owner in dict.fromkeys((info.model, info.owner)):
        for name in _NAMES:
            if name == "dummy_inputs" and hasattr(owner, "main_input_name"):
                continue  # a library's default, the same for every architecture: the configuration tells more
            value = _read(owner, name)
            if value is not None:
                return name, value
    return None


def _read(owner: nn.Module, name: str) -> Any:
    if not hasattr(type(owner), name) and name not in vars(owner) and name not in owner._buffers:
        return None
    try:
        value = getattr(owner, name)
        if callable(value) and not isinstance(value, torch.Tensor | nn.Module):
            value = value()
    except Exception:  # a property that raises declares nothing, except where the name is ours
        if name == "gradhealth_inputs":
            raise
        return None
    return value if _usable(value) else None


def _usable(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return True
    if isinstance(value, Mapping):
        return bool(value)
    return isinstance(value, tuple | list) and len(value) > 0
