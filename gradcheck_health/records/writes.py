"""What forward writes over: parameters, values that the graph holds, and values that backward needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A trainable parameter whose values forward writes over."""

    parameter: str
    op: str
    """data =, clamp_, __setitem__ ..."""
    layer: str
    source: str | None
    undone: float = 0.0
    """Share of the entries that a step moved and the next forward moved back (the `after_steps` fact)."""


@dataclass(frozen=True, slots=True)
class Overwritten:
    """Values of the graph that forward changes through .data, a detached view, or under no_grad."""

    op: str
    layer: str
    source: str | None
    share: float
    """Of the entries."""


@dataclass(frozen=True, slots=True)
class Clobbered:
    """A value that an operation saved for backward, and that something wrote into afterwards (the `clobbered` fact)."""

    op: str
    """What writes: add_, __setitem__, relu_ ..."""
    layer: str
    source: str | None
    saved_by: str
    """The operation whose backward needs the value."""
    saved_layer: str
    saved_source: str | None
    shape: tuple[int, ...]
