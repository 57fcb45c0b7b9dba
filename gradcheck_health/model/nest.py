"""Nested values of a model: copies in which every tensor is replaced."""

from __future__ import annotations

import copy
import dataclasses
from collections import UserDict
from types import SimpleNamespace
from typing import Any

import torch


def fresh(value: Any) -> Any:
    """The same nest with every tensor cloned, so that a model that works in place cannot spoil the batch."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(fresh(item) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(fresh(item) for item in value)
    if isinstance(value, dict):
        copied = {key: fresh(item) for key, item in value.items()}
        return copied if type(value) is dict else _like(value, copied)
    if isinstance(value, SimpleNamespace | UserDict) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return _fresh_record(value)
    return value


def _fresh_record(value: Any) -> Any:
    """A copy whose attributes are fresh, made without its constructor."""
    copied = copy.copy(value)
    names = vars(value) if hasattr(value, "__dict__") else [field.name for field in dataclasses.fields(value)]
    for name in names:
        object.__setattr__(copied, name, fresh(getattr(value, name)))  # it may be frozen
    return copied


def _like(value: dict[Any, Any], copied: dict[Any, Any]) -> Any:
    try:
        return type(value)(copied)
    except Exception:  # noqa: BLE001 - some mapping of the user's with a constructor of its own
        return copied
