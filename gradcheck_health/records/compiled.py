"""What compiled code gave beside the same model without it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CompiledRun:
    """One forward and one backward pass of each, on the same batch from the same seed."""

    name: str
    """What differs most: "output", or a parameter as in `state_dict`."""
    difference: float
    """Norm of the difference over the norm of what eager code gives, the largest of the outputs and gradients."""
    rounding: float
    """The share that rounding explains in this precision: the square root of its machine epsilon."""
    random: bool = False
    """Forward draws at random: compiled code draws other numbers, so nothing was compared."""
