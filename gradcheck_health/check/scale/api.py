"""`check_scale(factory, depth=..., width=...)`: a factory built in several sizes, and how its health changes with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradcheck_health.check.api import check_gradients
from gradcheck_health.records.report import Report
from gradcheck_health.records.scale import Sweep


def check_scale(
    factory: Callable[..., Any],
    *,
    depth: Sequence[int] = (),
    width: Sequence[int] = (),
    depth_name: str | None = None,
    width_name: str | None = None,
    **settings: Any,
) -> Report:
    """The report on the first size, and in `report.trace.scale` what depth and width do to the flow, the steps and the cost.

    Depths are measured at the first width and widths at the first depth, each under as many seeds as there are rounds. A size
    that cannot be built or run is left out with the reason. Rules: depth-limited and width-unstable.

    Args:
        factory: a class or function with a parameter for each of the two; it returns what a factory of `check_gradients` may.
        depth: whole numbers, two at least; three tell an exponential from a power law.
        width: the same; four, and four rounds, are judged.
        depth_name, width_name: the parameters, such as "n_layer" or "config.n_embd", where they have no usual name.
        settings: further ones of `check_gradients`; `optimizer` is whose steps are compared over the widths, Adam at 1e-3
            where nothing says.

    Raises:
        UsageError: no such parameter, a single size, or a wrong setting.
    """
    return check_gradients(Sweep(factory, tuple(depth), tuple(width), depth_name, width_name), **settings)
