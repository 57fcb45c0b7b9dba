"""Units of a weight to which no gradient comes, although it comes to others: whole rows of zeros, or columns.

`x * (x > 0)` is a ReLU that no function call shows, and there are a dozen more spellings; and a fused projection of which one
part is detached is no missing gradient. The gradient shows them all: the whole row of such a unit is exactly zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gradcheck_health.model.names import NamedParameter
from gradcheck_health.probe.statistics.histogram import SAMPLE, Spread
from gradcheck_health.records.measurements import ActivationTrace
from gradcheck_health.records.severed import Starved

_SHARE = 0.5
"""As for dead units."""
_LEAST = 160
"""Entries that the sample of a larger tensor has at least."""
_PART = 0.1
"""Of the entries: the smallest part of a fused weight that counts, beside chance deaths."""
_GLANCE = 16
"""Units of the other axis that say enough in most cases."""
_BLOCK = 4
"""Neighbouring units: a part that is taken out by a slice, and not one unit here and one there."""


def starved(
    named: Sequence[NamedParameter],
    gradients: Sequence[torch.Tensor | None],
    sampled: Sequence[Spread],
    activations: Sequence[ActivationTrace],
) -> tuple[Starved, ...]:
    """The weights of which some units, but not all, get nothing.

    A weight whose whole gradient is zero is left to the rules.

    Args:
        gradients: that of each parameter.
        sampled: how the entries of each are spread: only one with many zeros is examined as a whole.
    """
    explained = any(max(a.off, a.saturated) > _SHARE * a.units for a in activations)
    found = []
    for entry, gradient, spread in zip(named, gradients, sampled, strict=True):
        if gradient is None or not has_units(entry, gradient):
            continue
        begun = SAMPLE < gradient.numel() < 2 * SAMPLE  # the sample holds its first entries alone
        if spread.zeros <= _PART * min(gradient.numel(), _LEAST) and not begun:
            continue
        for axis in (0, 1):
            fed = _fed(gradient, axis)
            units, without = len(fed), int((~fed).sum())
            most = axis == 0 and without > _SHARE * units and not explained
            if 0 < without < units and (most or in_blocks(~fed)):
                found.append(Starved(entry.name, entry.layer, without, units, axis, silent=most))
                break
    return tuple(found)


def has_units(entry: NamedParameter, gradient: torch.Tensor) -> bool:
    """The weight of a layer, a row for each unit: it has two axes or more."""
    own = entry.role == "weight" and entry.name.rpartition(".")[2] == "weight"
    return own and type(gradient) is torch.Tensor and gradient.layout == torch.strided and not gradient.is_nested


def any_along(gradient: torch.Tensor, axis: int) -> torch.Tensor:
    """Per unit whether a gradient other than zero came to it."""
    return (gradient != 0).transpose(0, axis).flatten(1).any(1)


def _fed(gradient: torch.Tensor, axis: int) -> torch.Tensor:
    """The same, found across a few units of the other axis: the others are read for those alone that have nothing there."""
    other = 1 - axis
    few = gradient[(slice(None),) * other + (slice(None, None, max(gradient.shape[other] // _GLANCE, 1)),)]
    found = any_along(few, axis)
    missing = found.logical_not().nonzero().flatten()
    return found.index_put((missing,), any_along(gradient.index_select(axis, missing), axis)) if len(missing) else found


def in_blocks(without: torch.Tensor) -> bool:
    """They stand beside each other, in blocks: what a slice, a chunk or a head takes out."""
    values, lengths = torch.unique_consecutive(without, return_counts=True)
    blocks = lengths[values]
    return bool(len(blocks)) and int(blocks.min()) >= _BLOCK
