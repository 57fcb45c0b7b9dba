"""Tensors of a file -> what is measured of them, one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from gradcheck_health.records.saved import SavedNorm, SavedTensor, SavedWeights

_FAR = 6.0
"""Standard deviations: of what a normalisation returns one entry in a billion is so far out."""
_EPS = 1e-5
"""torch's, under the root of the variance; a file does not hold it."""

_LEARNT = ("weight", "bias", "running_mean", "running_var")
"""Names that no mask has."""


def measured(file: str, tensors: Mapping[str, Any], against: str = "", base: Mapping[str, Any] | None = None) -> SavedWeights:
    """Of every tensor of floating point numbers.

    Args:
        against, base: the other file, and its tensors.
    """
    kept = {name: value for name, value in tensors.items() if _is_floating(value)}
    other = {name: value for name, value in (base or {}).items() if _is_floating(value)}
    found = tuple(_one(name, value, other.get(name)) for name, value in kept.items())
    unmatched = sum(one.base is None for one in found) + len(other.keys() - kept.keys()) if base is not None else 0
    return SavedWeights(file, found, tuple(_norms(kept)), against, unmatched)


def _is_floating(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.layout == torch.strided and value.numel() > 0


def _one(name: str, value: torch.Tensor, base: torch.Tensor | None) -> SavedTensor:
    wide = value.detach().to(torch.float64)
    finite = wide.isfinite()
    odd = 0 if _is_mask(name, wide) else int((~finite).sum())
    moved = size = None
    if base is not None and base.shape == value.shape:
        before = base.detach().to(torch.float64)
        known = bool(finite.all()) and bool(before.isfinite().all())
        size, moved = _norm(before), _norm(wide - before) if known else math.inf
    dtype = str(value.dtype).removeprefix("torch.")
    return SavedTensor(name, tuple(value.shape), dtype, _norm(wide), odd, size, moved)


def _norm(values: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(torch.where(values.isfinite(), values, 0.0)))


def _is_mask(name: str, values: torch.Tensor) -> bool:
    """An infinity here and the same number everywhere else: what is added to scores, or compared with."""
    if name.rpartition(".")[2] in _LEARNT:
        return False
    infinite = values.isinf()
    if not bool(infinite.any()) or bool(values.isnan().any()):
        return False
    odd, rest = values[infinite], values[~infinite]
    return bool((odd == odd[0]).all()) and bool((rest == rest[:1]).all())


def _norms(tensors: Mapping[str, torch.Tensor]) -> Iterator[SavedNorm]:
    """The batch normalisations: a running variance, and beside it a scale and a shift of its length.

    One whose scale and shift are all zero is the last of a branch that starts at zero, and has not been trained.
    """
    for name, variance in tensors.items():
        place, dot, last = name.rpartition(".")
        scale, shift = tensors.get(f"{place}{dot}weight"), tensors.get(f"{place}{dot}bias")
        if last != "running_var" or scale is None or shift is None or not scale.shape == shift.shape == variance.shape:
            continue
        gamma, beta, var = (one.double() for one in (scale, shift, variance))
        if not bool(gamma.any() | beta.any()):
            continue
        reach = gamma.abs() * (var.clamp(min=0) / (var.clamp(min=0) + _EPS)).sqrt()
        dead = (beta + _FAR * reach <= 0).sum()
        yield SavedNorm(place, math.prod(scale.shape), int(dead))
