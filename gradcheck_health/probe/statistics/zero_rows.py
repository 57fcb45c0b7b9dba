"""Rows of zeros in a weight's gradient that no observed activation explains: reported as a gap in what was seen.

`x * (x > 0)` is a ReLU that no function call shows, and there are a dozen more spellings. The gradient shows them all: of a
unit that is off for every sample the whole row of the weight's gradient is exactly zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gradcheck_health.model.names import NamedParameter
from gradcheck_health.probe.statistics.histogram import Spread
from gradcheck_health.records.measurements import ActivationTrace

_SHARE = 0.5
"""As for dead units."""
_LEAST = 160
"""Entries that the sample of a larger tensor has at least."""


def starved(
    named: Sequence[NamedParameter],
    gradients: Sequence[torch.Tensor | None],
    sampled: Sequence[Spread],
    activations: Sequence[ActivationTrace],
) -> tuple[str, ...]:
    """One sentence for the layers of whose units more than half, but not all, get nothing; none if an activation explains it.

    A weight whose whole gradient is zero is left to the rules.

    Args:
        gradients: that of each parameter.
        sampled: how the entries of each are spread: only one with many zeros is examined as a whole.
    """
    if any(max(a.off, a.saturated) > _SHARE * a.units for a in activations):
        return ()
    found = []
    for entry, gradient, spread in zip(named, gradients, sampled, strict=True):
        if not spread.zeros or gradient is None or not _has_units(entry, gradient):
            continue
        if spread.zeros > _SHARE / 2 * min(gradient.numel(), _LEAST):
            units = len(gradient)
            fed = int((gradient != 0).flatten(1).any(1).sum())
            if 0 < fed < (1 - _SHARE) * units:
                found.append(f"{units - fed} of {units} units of {entry.layer or 'the model'}")
    if not found:
        return ()
    others = len(found) - 1
    more = f" and of {others} more layer{'s' if others > 1 else ''}" if others else ""
    return (f"what keeps every gradient from {found[0]}{more}",)


def _has_units(entry: NamedParameter, gradient: torch.Tensor) -> bool:
    """The weight of a layer, a row for each unit."""
    own = entry.role == "weight" and entry.name.rpartition(".")[2] == "weight"
    return own and type(gradient) is torch.Tensor and gradient.layout == torch.strided and not gradient.is_nested
