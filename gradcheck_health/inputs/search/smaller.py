"""A smaller input that shows the same, where a pass over the one that runs costs much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from gradcheck_health.inputs.plan import Dim, Plan
from gradcheck_health.inputs.search.trial import Outcome, TrialRunner
from gradcheck_health.inputs.static.model_info import ModelInfo

COSTLY = 1e9
"""What a trial may cost before a smaller one is looked for, counted as `Outcome.work`."""
FAILURES = 4
"""Sizes that may turn out to be needed."""
_LEAST: dict[Dim, int] = {"D": 8, "H": 32, "W": 32, "T": 16, "L": 64, "A": 1000, "P": 64}
_NUMBER = 64
"""The least of an axis that was solved for, or taken for features."""
_TOGETHER: tuple[tuple[Dim, ...], ...] = (("D", "H", "W"), ("H", "W"), ("T",), ("L",), ("A",), ("P",))


def lessened(info: ModelInfo, outcome: Outcome, seed: int) -> Outcome:
    """The outcome with smaller sizes, as long as a trial is costly, and runs the same operations and reaches as much."""
    bench, refused = TrialRunner(info, seed), set[tuple[tuple[Dim, ...], int]]()
    while outcome.work > COSTLY and len(refused) < FAILURES:
        choices = (choice for choice in _choices(outcome) if choice not in refused)
        if (choice := next(choices, None)) is None:
            break
        tried = bench.run(_divided(outcome.plan, *choice))
        if _shows_as_much(tried, outcome):
            outcome = tried
        else:
            refused.add(choice)
    return outcome


def _shows_as_much(tried: Outcome, before: Outcome) -> bool:
    whole = tried.ok and not tried.mixed and tried.coverage >= before.coverage
    return whole and tried.reached >= before.reached and tried.work < before.work


def _choices(outcome: Outcome) -> Iterator[tuple[tuple[Dim, ...], int]]:
    """Sizes that may be divided together, and by what: as far as is cheap enough, or by two."""
    plan = outcome.plan
    free = {dim for _, leaf in plan.leaves() if not leaf.fixed for dim in leaf.dims}
    free -= {dim for _, leaf in plan.leaves() if leaf.fixed for dim in leaf.dims}
    numbers = sorted((dim for dim in free if isinstance(dim, int)), reverse=True)
    for dims in (*_TOGETHER, *((number,) for number in numbers)):
        room = min(plan.size(dim) // _LEAST.get(dim, _NUMBER) for dim in dims)
        if free.issuperset(dims) and room > 1:
            enough = (outcome.work / COSTLY) ** (1 / len(dims))
            far = 2 ** min(math.ceil(math.log2(enough)), int(math.log2(room)))
            yield from ((dims, by) for by in sorted({far, 2}, reverse=True))


def _divided(plan: Plan, dims: tuple[Dim, ...], by: int) -> Plan:
    """The plan with these sizes divided; a number wherever it stands behind the samples."""
    for path, leaf in plan.leaves():
        if not isinstance(dims[0], str) and dims[0] in leaf.dims[1:]:
            behind = (dim // by if dim == dims[0] and isinstance(dim, int) else dim for dim in leaf.dims[1:])
            plan = plan.put(path, replace(leaf, dims=(leaf.dims[0], *behind)))
    return plan.resize(**{dim: plan.size(dim) // by for dim in dims if isinstance(dim, str)})
