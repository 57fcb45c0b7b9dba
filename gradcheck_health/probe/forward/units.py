"""Units that pass no gradient: what activation functions did to each unit, whether called as modules or as functions.

A unit is a channel of a convolution or a feature of a linear layer. It is *off* if the derivative was 0 at every sample and
position, and *saturated* if its mean squared derivative, relative to the largest possible, is below 0.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from gradcheck_health.probe.forward.activations import Alive, Function

SATURATED = 0.1
SHUT = 1e-10
"""Mean squared normalised derivative below which a unit passes nothing: a gate closed by design passes far more."""
_SAMPLES = 64
"""Samples, and positions in each, that a saturation is estimated from: its standard error is then below 2 %."""
_POSITIONS = 16
_WHOLE = 1 << 19
"""Entries up to which all are read at once."""
_PLACES = 64
"""Places of each unit where those of larger tensors are first looked for that are alive."""


@dataclass(slots=True)
class Units:
    """What was seen of one activation, all its calls together."""

    layer: str
    producer: str
    function: Function
    order: int
    samples: int = 0
    alive: torch.Tensor | None = None
    """bool[units]: the derivative was not zero somewhere."""
    slope: torch.Tensor | None = None
    """float[units]: sum of the mean squared normalised derivative, over calls."""
    high: torch.Tensor | None = None
    """float[units]: sum of the mean output, over calls."""
    calls: int = 0
    rows: int = 0
    total: torch.Tensor | None = None
    """float64[units]: sum of the pre-activations over rows."""
    low: torch.Tensor | None = None
    """float[units]: smallest pre-activation."""

    def add(self, y: torch.Tensor, axis: int, bounds: tuple[float, float]) -> None:
        """Take in one call's output, `y` detached."""
        self.calls += 1
        self.samples += y.shape[0] if axis != 0 else 1
        if self.function.alive is not None:
            alive = _alive(self.function.alive, *((y, axis) if y.dim() > 1 else (y[None], 1)), bounds)
            self.alive = alive if self.alive is None else self.alive | alive
        if self.function.slope is not None:
            rows = sample_rows(y, axis).float()
            slope, high = self.function.slope(rows, bounds).square().mean(0), rows.mean(0)
            self.slope = slope if self.slope is None else self.slope + slope
            self.high = high if self.high is None else self.high + high

    def add_before(self, x: torch.Tensor, axis: int) -> None:
        """Take in one call's pre-activations."""
        x = x if x.dim() > 1 else x[None]
        others = tuple(i for i in range(x.dim()) if i != axis % x.dim()) or (0,)
        low, total = x.amin(others), x.double().sum(others)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.total = total if self.total is None else self.total + total
        self.rows += x.numel() // max(total.numel(), 1)

    @property
    def on(self) -> int:
        """Units whose pre-activation was always positive, but for those that were always beyond the upper end of a ReLU6."""
        if self.low is None:
            return 0
        return int(((self.low > 0) if self.alive is None else (self.low > 0) & self.alive).sum())

    @property
    def lean(self) -> float:
        """t statistic of the units' mean pre-activations against zero."""
        if self.total is None or self.total.numel() < 2:
            return 0.0
        means = self.total / self.rows
        spread = float(means.std()) / math.sqrt(means.numel())
        return float(means.mean()) / spread if spread > 0 else math.copysign(math.inf, float(means.mean()))


def _alive(alive: Alive, y: torch.Tensor, axis: int, bounds: tuple[float, float]) -> torch.Tensor:
    """bool[units]. Of a large tensor most units are alive in a few samples: then the others need not be read for them."""
    others = tuple(i for i in range(y.dim()) if i != axis)
    if y.numel() <= _WHOLE or axis == 0 or not y.is_cpu:  # an accelerator is not waited for
        return alive(y, others, bounds)
    places = y[0].numel() // y.shape[axis]
    found = alive(y[: -(-_PLACES // places)], others, bounds)
    missing = found.logical_not().nonzero().flatten()
    return found.index_put((missing,), alive(y.index_select(axis, missing), others, bounds)) if len(missing) else found


def sample_rows(y: torch.Tensor, axis: int) -> torch.Tensor:
    """[rows, units]: at most 64 samples and 16 positions of each, evenly strided."""
    moved = y.movedim(axis, -1)
    if moved.dim() == 1:
        return moved[None]
    moved = moved[:: -(-moved.shape[0] // _SAMPLES)]
    if moved.dim() > 2:
        moved = moved.flatten(1, -2) if moved.is_contiguous() else moved.reshape(moved.shape[0], -1, moved.shape[-1])
        moved = moved[:, :: -(-moved.shape[1] // _POSITIONS)]
        moved = moved.reshape(-1, moved.shape[-1])
    return moved
