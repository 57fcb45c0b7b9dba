"""How much of a batch's signal distinguishes one sample from another."""

from __future__ import annotations

import math

import torch

from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.statistics.tensor_stats import plain
from gradcheck_health.records.inputs import Inputs

_ENTRIES = 1024
"""Entries a sample that are examined, evenly strided."""


def variation(tensor: torch.Tensor, batch: int | None) -> float | None:
    """Variance over the samples as a share of the mean square, 0 to 1; None without a batch axis of two or more.

    0 means that every sample gives the same values. A tensor of zeros has no share, and counts as 0.
    """
    if batch is None or batch < 2 or tensor.dim() == 0 or tensor.shape[0] != batch or tensor.numel() == 0:
        return None
    values = plain(tensor)
    if values is None or values.shape[0] != batch:
        return None
    rows = values.reshape(batch, -1)
    rows = rows[:, :: -(-rows.shape[1] // _ENTRIES)].double()
    square = float(rows.square().mean())
    share = float((rows - rows.mean(0)).square_().mean()) / square if square else 0.0
    return share if math.isfinite(share) else None


def input_rms(inputs: Inputs) -> float | None:
    """The largest rms of a floating argument, over a sample of its entries."""
    found = []
    for leaf in leaves((inputs.args, dict(inputs.kwargs))):
        values = plain(leaf.tensor) if leaf.tensor.is_floating_point() and leaf.tensor.numel() else None
        if values is not None:
            entries = values.reshape(-1)
            found.append(float(entries[:: -(-len(entries) // _ENTRIES)].double().square().mean().sqrt()))
    return max((rms for rms in found if math.isfinite(rms)), default=None)


def input_variation(inputs: Inputs) -> float | None:
    """The largest variation among the arguments; whole numbers count as 1 if any sample differs."""
    found = []
    for leaf in leaves((inputs.args, dict(inputs.kwargs))):
        tensor = leaf.tensor
        if tensor.is_floating_point() or tensor.is_complex():
            found.append(variation(tensor, inputs.batch))
        elif inputs.batch is not None and tensor.dim() and tensor.shape[0] == inputs.batch and tensor.layout == torch.strided:
            found.append(float(bool((tensor != tensor[:1]).any())))
    return max((share for share in found if share is not None), default=None)
