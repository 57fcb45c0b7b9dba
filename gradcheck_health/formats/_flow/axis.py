"""A logarithmic axis in whole decades, for every picture of the flow."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_HIGHEST = int(math.log10(sys.float_info.max))
"""The largest whole decade of a float: what lies above it is drawn there."""
MIN_DECADES = 3
"""The axis spans at least so many powers of ten: harmless differences must look harmless."""
MAX_DECADES = 40


@dataclass(frozen=True, slots=True)
class Axis:
    """A log axis in whole decades, from 10**low to 10**high."""

    low: int
    high: int

    def position(self, value: float) -> float:
        """0 at the low end, 1 at the high end; zero and what lies beyond an end is held there."""
        if not value > 0:
            return 0.0
        return min(1.0, max(0.0, (math.log10(min(value, 10.0**_HIGHEST)) - self.low) / (self.high - self.low)))


def axis_of(values: Sequence[float]) -> Axis:
    """An axis for these values and 1, the head; zeros and what is not finite have no place on it."""
    known = [math.log10(value) for value in values if 0 < value < math.inf]
    # a hair above a power of ten is no reason for another decade
    high = min(max(0, math.ceil(max(known, default=0.0) - 0.1)), _HIGHEST)
    low = min(math.floor(min(known, default=0.0) + 0.01), high - MIN_DECADES)
    return Axis(max(low, high - MAX_DECADES), high)
