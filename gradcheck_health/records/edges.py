"""Inputs at the edge of what a model is fed."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck_health.records.evidence import Nonfinite


@dataclass(frozen=True, slots=True)
class EdgeInput:
    """An input that people do have, under which a gradient is not finite (the `edge_inputs` fact)."""

    kind: str
    """"a row of zeros", "two equal rows" ..."""
    origin: Nonfinite | None
    """None where no single operation was found."""
