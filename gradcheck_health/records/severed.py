"""Units of a weight that get no gradient although others of it do, and what cuts them off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Starved:
    """A weight of which some units, but not all, get a gradient of exactly zero."""

    parameter: str
    layer: str
    units: int
    """So many of them get none."""
    of: int
    axis: int = 0
    """Of the weight along which they lie."""
    silent: bool = False
    """They are most of all, and no activation that was observed is off there."""


@dataclass(frozen=True, slots=True)
class Severed:
    """Units of a weight that move the output, and that no gradient comes back to (the `severed` fact)."""

    parameter: str
    units: int
    of: int
    op: str
    """What cuts them off, on which layer, at which `file:line`."""
    layer: str
    source: str | None


@dataclass(frozen=True, slots=True)
class Draw:
    """A draw from a distribution with learnt parameters that hands no gradient back to them, although it could."""

    op: str
    """`Normal.sample`, or normal."""
    layer: str
    source: str | None


def unexplained(starved: Sequence[Starved]) -> tuple[str, ...]:
    """One sentence about what was not seen, for all layers."""
    silent = [one for one in starved if one.silent]
    if not silent:
        return ()
    first, others = silent[0], len(silent) - 1
    more = f", nor to those of {others} more layer{'s' if others > 1 else ''}" if others else ""
    return (f"why no gradient comes to {first.units} of {first.of} units of {first.layer or 'the model'}{more}",)
