"""What changed between two runs of a model: the comparison with a baseline as a value, for rules and formats alike."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(str, enum.Enum):
    """Which way a quantity went; `moved` is neither good nor bad."""

    WORSE = "worse"
    BETTER = "better"
    MOVED = "moved"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Shift:
    """A measured quantity that moved by more than its tolerance."""

    metric: str
    """flow (decades of the gradient at a layer, against the head), gain (from one layer to the one before it),
    dead_fraction, saturated_fraction or reached_fraction."""
    name: str
    """The layer or parameter; "" is the model as a whole."""
    kind: str
    """Class name of the layer; "" for the model."""
    before: float | None
    now: float | None
    """Decades for flow and gain, fractions from 0 to 1 otherwise; None: no gradient arrives."""
    allowed: float
    """The largest change that passes, in the same unit."""
    verdict: Verdict
    fails: bool = False
    """The settings make it fail."""
    culprit: str = ""
    """For a gain: the layer that the gradient passes on this stretch."""

    @property
    def amount(self) -> float | None:
        """now - before; None where nothing arrives on one side."""
        return None if self.now is None or self.before is None else self.now - self.before


@dataclass(frozen=True, slots=True)
class Restructured:
    """One difference between the two models as such."""

    what: str
    """parameter or layer."""
    how: str
    """added, removed, renamed (same shape), reshaped, replaced (another class), frozen, unfrozen."""
    name: str
    """In the new model; in the old one where it was removed."""
    before: str = ""
    """The old name, shape or class."""
    now: str = ""
    """The new shape or class."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding by its logical name, as in `ignore`: never a line number, never a measured value."""

    rule: str
    name: str
    """A name or pattern; "" is the whole rule."""
    text: str = ""
    """The message of the finding, or the reason why it was accepted."""

    @property
    def key(self) -> str:
        """`rule:name`."""
        return f"{self.rule}:{self.name}" if self.name else self.rule


@dataclass(frozen=True, slots=True)
class Change:
    """What is different from the baseline, or from another run."""

    against: str
    """The file that it was compared with."""
    target: str = ""
    """What the baseline is that of: "model.py:Net", or the name of a test."""
    shifts: tuple[Shift, ...] = ()
    """Those that fail first, then the others; each by forward order."""
    new: tuple[Entry, ...] = ()
    """Errors and warnings that the other side does not have."""
    gone: tuple[Entry, ...] = ()
    """What only the other side has: accepted findings that nothing matches any more."""
    structure: tuple[Restructured, ...] = ()
    compared: int = 0
    """How many layers both sides have a level for."""
    notes: tuple[str, ...] = ()
    """What limits the comparison, each one sentence."""

    @property
    def failing(self) -> tuple[Shift, ...]:
        return tuple(shift for shift in self.shifts if shift.fails)

    @property
    def worse(self) -> tuple[Shift, ...]:
        return tuple(shift for shift in self.shifts if shift.verdict is Verdict.WORSE)

    @property
    def better(self) -> tuple[Shift, ...]:
        return tuple(shift for shift in self.shifts if shift.verdict is Verdict.BETTER)

    @property
    def empty(self) -> bool:
        """Nothing changed."""
        return not (self.shifts or self.new or self.gone or self.structure)
