"""What an einops pattern says of its input: `b c (h p1) (w p2) -> b (h w) (p1 p2 c)` wants four axes, two of them multiples."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gradcheck_health.inputs.plan import USUAL, Dim, Leaf

_AXIS = re.compile(r"\([^)]*\)|\S+")


def axes(side: str) -> list[list[str]]:
    """The axes of one side of a pattern, each with the names that it is composed of."""
    return [re.findall(r"\w+|\.\.\.", part) for part in _AXIS.findall(side.replace("…", "..."))]


def lengths_of(holder: Any) -> dict[str, int]:
    """Known lengths: the keyword arguments of a call, or `axes_lengths` of a layer."""
    pairs = holder.items() if isinstance(holder, Mapping) else holder if isinstance(holder, tuple | list) else ()
    return {str(name): length for name, length in pairs if isinstance(length, int)}


def leaf_for(module: Any, behind: Leaf | None) -> Leaf | None:
    """What a `Rearrange` layer takes, when the layer behind it wants `behind`; None for other layers."""
    pattern = vars(module).get("pattern")
    if not isinstance(pattern, str) or "->" not in pattern or "..." in pattern:
        return None
    left, right = (axes(side) for side in pattern.split("->")[:2])
    known = lengths_of(vars(module).get("axes_lengths", {}))
    last = behind.dims[-1] if behind is not None and behind.dims else None
    unknown = [name for name in right[-1] if name not in known] if right else []
    if isinstance(last, int) and len(unknown) == 1:
        known[unknown[0]] = last // max(math.prod(known.get(name, 1) for name in right[-1]), 1)
    names = USUAL.get(len(left), ("B", *["T"] * (len(left) - 1)))
    dims: list[Dim] = []
    for default, parts in zip(names, left, strict=True):
        whole = math.prod(known.get(part, 0) for part in parts)
        step = math.prod(known.get(part, 1) for part in parts)
        spatial = default in ("H", "W", "D", "T")
        dims.append(whole or (default if spatial and 32 % step == 0 else step * 2 if spatial and step > 1 else default))
    return Leaf(tuple(dims), why=f"pattern {pattern.split('->')[0].strip()}")
