"""Text and numbers as a page shows them: what cannot be seen is made visible, and HTML stays what the template wrote."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup, escape


def visible(value: Any) -> Any:
    """Printable text of any language as it is, everything else (controls, bidi marks, lone surrogates) as an escape."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in value)


def breakable(name: str) -> Markup:
    """A dotted name that may be broken behind its dots."""
    return Markup(".<wbr>").join(escape(part) for part in visible(name).split("."))


def number(value: float | None, digits: int = 2) -> str:
    """`1.3e-07`, `0.25`, `0`; a dash for None and a word for what is not finite."""
    if value is None:
        return "\u2013"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    return f"{value:.{digits}g}"


def percent(share: float | None) -> str:
    """`19 %`; a small share never rounds to nothing, and what is not all never to all."""
    if share is None or not math.isfinite(share):
        return "\u2013"
    if 0.995 <= share < 1:
        return ">99 %"
    return "<1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def count(number_of: int, noun: str) -> str:
    return f"{number_of:,} {noun}{'' if number_of == 1 else 's'}"


def places(value: float) -> str:
    """A coordinate in the shortest form that is exact to a tenth."""
    return f"{value:.1f}".removesuffix(".0")
