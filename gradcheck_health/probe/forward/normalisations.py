"""How many values a call of a normalisation takes together: of a single one nothing is left but its sign, or nothing at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F


def entries_per_group(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Values in each group; None for what is no normalisation, or one over several axes at once."""
    count = COUNTS.get(func)
    x = args[0] if args else kwargs.get("input")
    return None if count is None or not isinstance(x, torch.Tensor) or not x.dim() else count(x, args, kwargs)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: Any) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _layer(x: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    return math.prod(_argument(args, kwargs, 1, "normalized_shape", ()))


def _group(x: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    return math.prod(x.shape[1:]) // int(_argument(args, kwargs, 1, "num_groups", 1))


def _length(x: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    axis = _argument(args, kwargs, 2, "dim", 1)
    return x.shape[axis] if isinstance(axis, int) and -x.dim() <= axis < x.dim() else None


COUNTS: dict[Any, Callable[[torch.Tensor, tuple[Any, ...], dict[str, Any]], int | None]] = {
    F.layer_norm: _layer,
    F.group_norm: _group,
    F.normalize: _length,
}
