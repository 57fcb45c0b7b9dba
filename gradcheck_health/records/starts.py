"""What was seen of a model's initial values: memory that was never written, and how often it starts dead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Uninitialized:
    """A parameter or a buffer that holds memory which nobody wrote."""

    name: str
    kind: str
    """Class name of the module that owns it."""
    entries: int
    """So many entries were never written."""
    numel: int
    buffer: bool = False
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Initialisations:
    """How many of the initialisations that were drawn start dead (the fact `initialisations`)."""

    drawn: int
    dead: int
    silent: tuple[str, ...]
    """Weights that get no gradient in a dead one and do in a live one."""
    layers: tuple[str, ...]
    """Layers whose units are all off in a dead one."""
    score: float
    """Logarithm of the likelihood ratio of 15 % dead against 2 %."""
