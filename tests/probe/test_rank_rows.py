"""Which ranks have a copy that is no copy, from a few numbers each."""

from __future__ import annotations

import pytest

from gradcheck_health.probe.experiments.rank_rows import differing
from gradcheck_health.records.ranks import Disagreement, RanksTrace
from gradcheck_health.rules.ranks_disagree import ranks_disagree
from tests.support.made_traces import trace

PART, SIZE = -1.0, 10.0


def rows(*projections: float, parts: tuple[float, ...] = ()) -> list[list[list[float]]]:
    """One tensor on as many ranks."""
    return [[[part, one, SIZE]] for part, one in zip(parts or (PART,) * len(projections), projections, strict=True)]


@pytest.mark.parametrize(
    ("told", "groups"),
    [
        (rows(1.0, 1.0, 1.0, 1.0), None),
        (rows(1.0, 1.0, 3.0, 1.0), ((0, 1, 3), (2,))),
        (rows(3.0, 1.0, 1.0, 1.0), ((1, 2, 3), (0,))),
        (rows(1.0, 2.0), ((0,), (1,))),
        (rows(1.0, 2.0, 3.0, 4.0), ((0,), (1,), (2,), (3,))),
        (rows(1.0, 2.0, 1.0, 2.0), ((0, 2), (1, 3))),
        (rows(1.0, 2.0, 1.0, 2.0, parts=(0, 1, 0, 1)), None),
        (rows(1.0, 2.0, 1.0, 5.0, parts=(0, 1, 0, 1)), ((1,), (3,))),
    ],
)
def test_ranks_that_agree_are_one_group(told: list[list[list[float]]], groups: object) -> None:
    (found,) = differing(told)
    assert (None if found is None else found[0]) == groups


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (((0, 1, 3), (2,)), ("odd", "rank 2")),
        (((1, 2, 3), (0,)), ("odd", "rank 0")),
        (((0, 1), (2,), (3,)), ("odd", "rank 2, 3")),
        (((0,), (1,)), ("apart", "rank 0 | rank 1")),
        (((0, 2), (1, 3)), ("apart", "rank 0, 2 | rank 1, 3")),
    ],
)
def test_the_odd_ones_out_are_named_where_most_agree(groups: tuple[tuple[int, ...], ...], said: tuple[str, str]) -> None:
    seen = RanksTrace(4, "replicas", disagreements=(Disagreement("a", "parameter", groups, 0.5),))
    (finding,) = ranks_disagree(trace(ranks=4, facts={"ranks": (trace(parallel=seen),)}))  # type: ignore[misc]
    assert said in finding.details
