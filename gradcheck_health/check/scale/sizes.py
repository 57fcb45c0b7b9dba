"""The sizes of a sweep: which there are, in which order they are measured, and the factory of each. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.scale import FactorySizes, Sweep
from gradcheck_health.targets.arguments.bind import bound
from gradcheck_health.targets.arguments.sizes import parameter, with_sizes

MOST_SIZES = 64
"""Of a sweep."""


@dataclass(frozen=True, slots=True)
class Size:
    """One of the sizes."""

    depth: int | None
    width: int | None
    moves: bool = False
    """The outputs are compared before and after steps of an optimizer, too."""

    def sizes(self, names: Mapping[str, str]) -> dict[str, int]:
        """Argument -> its value."""
        values = {"depth": self.depth, "width": self.width}
        return {names[what]: value for what, value in values.items() if value is not None}

    def __str__(self) -> str:
        shown = {"depth": self.depth, "width": self.width}
        return ", ".join(f"{name} {value}" for name, value in shown.items() if value is not None)


def names_of(sweep: Sweep) -> dict[str, str]:
    """ "depth" and "width" -> the parameter of the factory; only what is to be varied.

    Raises:
        UsageError: the factory has no such parameter, or the sizes are no sweep.
    """
    refuse_odd(sweep.depth, sweep.width)
    if not callable(sweep.factory):
        raise UsageError(f"a sweep needs a class or a function that builds each size, got a {type(sweep.factory).__name__}")
    names = {}
    if sweep.depth:
        names["depth"] = parameter(sweep.factory, "depth", sweep.depth_name)
    if sweep.width:
        names["width"] = parameter(sweep.factory, "width", sweep.width_name)
    if len(set(names.values())) < len(names):
        raise UsageError(f"depth and width are the same argument {names['depth']!r}: name one with depth_name= or width_name=")
    return names


def refuse_odd(depth: Sequence[int], width: Sequence[int]) -> None:
    """Raises: UsageError: nothing to vary, a single size, one twice, or one that is no size."""
    for what, values in (("depth", depth), ("width", width)):
        odd = [value for value in values if isinstance(value, bool) or not isinstance(value, int) or value < 1]
        if odd:
            raise UsageError(f"{what}: got {odd[0]!r}; allowed: whole numbers from 1 on, such as {what}=(2, 4, 8)")
        if len(values) == 1:
            raise UsageError(f"{what}: got {values[0]} alone; at least two are needed to see how health changes with it")
        if len(set(values)) < len(values):
            raise UsageError(f"{what}: got {', '.join(map(str, values))}; each may be there once")
    if not depth and not width:
        raise UsageError("a sweep needs depths, widths or both, such as depth=(2, 4, 8)")
    if len(depth) + len(width) > MOST_SIZES:
        raise UsageError(f"a sweep of {len(depth) + len(width)} sizes; at most {MOST_SIZES} are allowed")


def plan(depth: Sequence[int], width: Sequence[int]) -> list[Size]:
    """Every depth at the first width, then every further width at the first depth."""
    first, narrow = (depth[0] if depth else None), (width[0] if width else None)
    sizes = [Size(one, narrow, moves=bool(width) and one == first) for one in depth or (None,)]
    return sizes + [Size(first, one, moves=True) for one in width[1:]]


def factory_sizes(factory: Callable[..., Any], target: str) -> FactorySizes:
    """The parameters of a factory by their usual names, and why there is none."""
    found: dict[str, str | None] = {}
    missing: dict[str, str] = {}
    for what in ("depth", "width"):
        try:
            found[what] = parameter(factory, what, None)
        except UsageError as error:
            missing[f"no_{what}"] = str(error)
    return FactorySizes(target, **found, **missing)  # type: ignore[arg-type]


def smallest(sweep: Sweep) -> Callable[[], Any]:
    """The factory of the first size.

    Raises:
        UsageError: as `names_of`.
    """
    names = names_of(sweep)
    return bound(sweep.factory, with_sizes(sweep.arguments, plan(sweep.depth, sweep.width)[0].sizes(names)))
