"""The rows of a softmax that are almost one-hot, counted over a sample of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_ROWS = 256
_ROUNDING = 1e-3
_MASKED = 5e3
"""So far below the largest score of its row an entry was masked (-1e4, -1e9, -inf); a probability underflows long before."""


def spread(count: int, most: int, device: torch.device) -> torch.Tensor:
    """At most `most` of `count` places, evenly but in no step: every seventh row may be the first one of a mask."""
    if count <= most:
        return torch.arange(count, device=device)
    golden = torch.arange(most, device=device, dtype=torch.float64) * 0.6180339887498949
    return ((golden - golden.floor()) * count).long()


def normalised_axis(p: torch.Tensor) -> int | None:
    """The axis along which entries sum to one, the last or the one before, on one matrix of them; None if there is none."""
    matrix = p[(0,) * (p.dim() - 2)] if p.numel() and p.dim() > 1 else None
    if matrix is None or bool((matrix > 1 + _ROUNDING).any()):
        return None
    sums = {axis: matrix.sum(axis) for axis in (-1, -2) if matrix.shape[axis] > 1}
    return next((axis for axis, one in sums.items() if bool(((one - 1).abs() < _ROUNDING).all())), None)


@dataclass(slots=True)
class Rows:
    """What was seen of one softmax, whose rows stand for units, or of a normalisation over single values."""

    layer: str
    producer: str
    function: str
    order: int
    samples: int = 0
    count: int = 0
    saturated: int = 0
    """Rows with 1 - sum p^2 below 1 % of its largest value, masked entries left aside."""
    off: int = 0
    """Rows of a single entry: constant."""

    def alone(self, rows: int) -> None:
        self.count, self.off = self.count + rows, self.off + rows

    def add(self, p: torch.Tensor, dim: int, scores: torch.Tensor) -> None:
        """Take in one call's output, `p` detached.

        Args:
            scores: what `p` is the softmax of, detached, or its logarithm: what underflows to zero is no mask.
        """
        self.samples += p.shape[0]
        if p.shape[dim] == 1:
            self.alone(p.numel())
            return
        rows = p.movedim(dim, -1).reshape(-1, p.shape[dim])
        chosen = spread(rows.shape[0], _ROWS, p.device)
        rows = rows[chosen].float()
        before = scores.movedim(dim, -1).reshape(-1, p.shape[dim])[chosen].float()
        entries = (before > before.amax(-1, keepdim=True) - _MASKED).sum(-1)
        saturated = 1 - rows.square().sum(-1) < 0.01 * (1 - 1 / entries.clamp(min=2).float())
        # a row of which one entry is not masked (the first of a causal mask) is left out, unless every row is like that
        single = entries <= 1
        hidden = single & bool((~single).any())
        self.count += int((~hidden).sum())
        self.saturated += int((saturated & ~hidden).sum())
