"""A finding: one cause of ill health, with its severity and places; and what a rule needs before it can decide."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradcheck_health.records.severity import Severity as Severity


@dataclass(frozen=True, slots=True)
class Need:
    """What a rule yields when it cannot decide: measure one more fact, then ask again."""

    fact: str
    more: bool = False
    """Also where the fact is there already: extend it (`reseeded`, by one seed)."""


LOSS = "the loss"
"""The place of what is computed behind the model, where the user gives a loss."""


@dataclass(frozen=True, slots=True)
class Place:
    """A layer, parameter or operation, and where its source stands."""

    name: str
    kind: str = ""
    source: str | None = None
    """`file:line`."""
    note: str = ""
    """What is special about it: "never called", "Adam state"."""

    def __str__(self) -> str:
        inside = ", ".join(part for part in (self.kind, self.note) if part)
        text = f"{self.name or 'the model itself'} ({inside})" if inside else self.name or "the model itself"
        return f"{text}, {self.source}" if self.source else text


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause of ill health: what, where, got, allowed, why, and what to do."""

    rule: str
    severity: Severity
    message: str
    """One line, with the number that was got and the bound."""
    places: tuple[Place, ...] = ()
    """The frontier, worst first: where it starts, not everything that it touches."""
    details: tuple[tuple[str, str], ...] = ()
    """Labelled lines in the order to print: starts / at, because, confirmed, measured, help."""
    got: float | None = None
    bound: float | None = None
    suppressed: str | None = None
    """The reason why the user accepted it; None if nobody did."""
    effect_of: tuple[str, ...] = ()
    """Rules whose error explains this one: it is left out where one of them reports an error."""
    cause: str = ""
    """What `because` says, in a word for programs: the operation that is to blame (Sigmoid, linear, Mul, log, softmax),
    "weights", "outputs" or "targets"; "" where the rule itself says it."""

    @property
    def names(self) -> tuple[str, ...]:
        """What an ignore pattern is matched against."""
        return tuple(place.name for place in self.places)


def common_pattern(names: Sequence[str]) -> str:
    """`aux.*` for aux.weight and aux.bias; "" where nothing is common."""
    kept = []
    for parts in zip(*(name.split(".") for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        kept.append(glob.escape(parts[0]))
    return ".".join(kept) + ".*" if kept else ""


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors before warnings before notes, otherwise in the order in which they came."""
    return tuple(sorted(findings, key=lambda finding: finding.severity.rank))
