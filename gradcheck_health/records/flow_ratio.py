"""How far the gradient shrinks or grows along the cut points of a flow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from gradcheck_health.records.measurements import CutPoint

WEIGHING = ("Addmm", "Mm", "Bmm", "Baddbmm", "Convolution", "Mv", "Linear")
"""Operations that take weights, as autograd calls them."""
BRANCH = 0.1
"""A stretch that another stream of data joins counts, unless it passes less than this to the branch that is followed."""


def keeps(below: CutPoint, above: CutPoint) -> float:
    """Gradient norm behind a cut point over the norm before it; below 1 the gradient shrinks."""
    return below.gradient / above.gradient if above.gradient else 1.0


def branches_off(above: CutPoint, kept: float) -> bool:
    """The stream goes on elsewhere, and what one branch of it passes is no statement about health."""
    return above.merges and 0.0 < kept < BRANCH


def flow_ratio(points: Sequence[CutPoint]) -> float | None:
    """Gradient norm at the first cut point over the norm at the last, stretches that branch off left out.

    What is left out excuses a gradient that shrinks, and makes none that grows: where a flat softmax and a norm of the keys
    cancel, the first layer gets no more than there is. None where it is unknown.
    """
    if len(points) < 2 or points[-1].gradient == 0.0:
        return None
    first, last = points[0].gradient, points[-1].gradient
    if not math.isfinite(first) or not math.isfinite(last):
        return None
    off = math.prod(kept for below, above in itertools.pairwise(points) if branches_off(above, kept := keeps(below, above)))
    if not off:
        return None
    excused = first / last / off * _spread(points)
    return excused if excused <= 1.0 else max(first / last, 1.0)


def _spread(points: Sequence[CutPoint]) -> float:
    """What a softmax in the head, with no weights behind it, is excused for: flat, it shrinks values and gradients alike.

    To one in as many as it has entries, at most.
    """
    for below, point in reversed(list(itertools.pairwise(points))):
        if point.entries:
            return min(float(point.entries), max(1.0, 1.0 / max(keeps(below, point), 1e-300)))
        if point.op.startswith(WEIGHING):
            break
    return 1.0
