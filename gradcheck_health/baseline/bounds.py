"""What a gate fails on: expressions such as `flow:-1dec`, `flow@encoder.*:-0.3dec`, `dead_fraction:+5pp` or `flow` alone.

    expression = metric ["@" name-pattern] [":" ["-" | "+"] number unit]

`-` fails on a fall, `+` on a rise, no sign on both. Without a number the tolerance is max(0.5 decade, 4 x seed spread), or
max(5 percentage points, 4 x seed spread) for a fraction, in the direction that is bad for the metric.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gradcheck_health.records.errors import UsageError, did_you_mean

UNITS = {
    "flow": "dec",
    "gain": "dec",
    "dead_fraction": "pp",
    "saturated_fraction": "pp",
    "reached_fraction": "pp",
}
"""Metric -> its unit: decades (1dec is a factor of ten), or percentage points."""
BAD = {"flow": -1, "gain": -1, "dead_fraction": 1, "saturated_fraction": 1, "reached_fraction": -1}
"""The direction that is bad where no sign is given with no number."""
FLOOR = {"dec": 0.5, "pp": 0.05}
"""The smallest default tolerance of a unit; a percentage point is 0.01."""
SPREADS = 4.0
DEFAULT = tuple(UNITS)
_SHAPE = re.compile(r"(?P<metric>[^@:]*)(?:@(?P<pattern>[^:]*))?(?P<bound>:.*)?", re.DOTALL)
_BOUND = re.compile(r":\s*(?P<sign>[-+]?)\s*(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>\D*)")


@dataclass(frozen=True, slots=True)
class Bound:
    """One expression, taken apart."""

    metric: str
    pattern: str = "*"
    sign: int = 0
    """-1: fails on a fall, 1: on a rise, 0: on both, or where it is bad if there is no amount."""
    amount: float | None = None
    """In decades, or as a fraction from 0 to 1; None is the default tolerance."""

    def covers(self, metric: str, name: str) -> bool:
        return self.metric == metric and fnmatchcase(name, self.pattern)

    def broken(self, change: float) -> bool:
        """A change by so much is more than the amount allows."""
        amount = math.inf if self.amount is None else self.amount
        return (change < -amount and self.sign <= 0) or (change > amount and self.sign >= 0)


def parse(text: str) -> Bound:
    """The bound that an expression means.

    Raises:
        UsageError: what is wrong with it, and what would be right.
    """
    shape = _SHAPE.fullmatch(text.strip())
    assert shape is not None  # every part may be empty
    metric = shape["metric"].strip().replace("-", "_")
    if metric not in UNITS:
        hint = did_you_mean(metric, UNITS)
        raise UsageError(f"fail_if {text!r}: no metric {metric!r}{hint}: known are {', '.join(UNITS)}; such as flow:-1dec")
    unit = UNITS[metric]
    pattern = shape["pattern"]
    if pattern is not None and (unit != "dec" or not pattern.strip()):
        told = "got no name behind @" if unit == "dec" else f"{metric} belongs to the whole model and takes no @name"
        raise UsageError(f"fail_if {text!r}: {told}; such as flow@encoder.*:-1dec or {metric}:{_example(unit)}")
    pattern = "*" if pattern is None else pattern.strip()
    if shape["bound"] is None:
        return Bound(metric, pattern)
    bound = _BOUND.fullmatch(shape["bound"].strip())
    if bound is None:
        raise UsageError(
            f"fail_if {text!r}: got {shape['bound'][1:]!r} for the bound; allowed: a sign, a number above 0 and {unit}, "
            f"as in {metric}:{_example(unit)}"
        )
    if bound["unit"] != unit:
        hint = "decades, 1dec is a factor of ten" if unit == "dec" else "percentage points"
        raise UsageError(
            f"fail_if {text!r}: got the unit {bound['unit']!r}; allowed for {metric}: {unit} ({hint}), "
            f"as in {metric}:{_example(unit)}"
        )
    amount = float(bound["number"]) / (100 if unit == "pp" else 1)
    if amount == 0 or not math.isfinite(amount):
        raise UsageError(
            f"fail_if {text!r}: got {bound['number']}; allowed: a number above 0, because measured values are never equal"
        )
    return Bound(metric, pattern, {"-": -1, "+": 1, "": 0}[bound["sign"]], amount)


def parse_all(expressions: Iterable[str]) -> tuple[Bound, ...]:
    """Every bound; those of the default where there is no expression."""
    return tuple(parse(text) for text in (tuple(expressions) or DEFAULT))


def _example(unit: str) -> str:
    return "-1dec" if unit == "dec" else "+5pp"
