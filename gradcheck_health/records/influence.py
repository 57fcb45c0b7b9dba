"""How far an output depends on what it should not depend on: other samples, or later steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Influence:
    """An output moves with entries of the input that it should not know (the facts `mixing` and `future`)."""

    output: str
    """Path of the output leaf."""
    kept: str
    """What was left as it was: the first sample, the steps up to 7 of 16."""
    share: float
    """How far the output of what was kept moves when all the rest changes, over how far it moves when it changes itself."""
    smooth: float
    """The same under a small perturbation; 0: the output jumps or not (routing), far above `share`: rounding."""
    layer: str = ""
    """Where the kept part moves first."""
    kind: str = ""
    op: str = ""
    source: str | None = None
    layout: bool = False
    """A layer that takes the batch along axis 1 is there, and the input may well have that layout on purpose."""
    statistics: bool = False
    """A batch norm without running statistics is there."""
    reduces: int = 0
    """The operation takes all samples together into so many entries; 0 where it does not."""
    joined: bool = True
    """A gradient flows from the output of what was kept into the others."""
