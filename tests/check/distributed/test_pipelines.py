"""A pipeline as a whole: the trace and the verdict of one process, from stages that lie on several."""

from __future__ import annotations

from typing import Any

import pytest

from tests.check.distributed.pipelines import NETS, SICK
from tests.support.ranks import results

pytestmark = pytest.mark.slow

ON_TWO = {"gpipe": list(NETS), "1f1b": ["gelu"], "interleaved": ["deep mlp", "transformer", "vanishing"]}
ON_FOUR = {"gpipe": ["deep mlp", "transformer", "vanishing"]}

CROSSING = ("dead", "cut")
"""A fault of one stage takes the gradient from another, which says so itself."""


def check(ranks: list[dict[str, Any]], which: str) -> None:
    first = ranks[0][which]
    assert all(rank[which] == first for rank in ranks)
    name = which.partition(" ")[2]
    if name in CROSSING:
        assert {one[0] for one in first["alone"]} <= {one[0] for one in first["verdict"]}
        return
    assert first["verdict"] == first["alone"]
    # of the model itself, whose name both stages of a rank have, only what it returns is known
    assert [one for one in first["differences"] if not one.startswith(".")] == []
    assert any(finding[1] == "error" for finding in first["alone"]) == (name in SICK)


@pytest.fixture(scope="module")
def on_two() -> list[dict[str, Any]]:
    """One launch for all."""
    return results("tests.check.distributed.pipelines:compared", kinds=ON_TWO)


@pytest.mark.parametrize("which", [f"{kind} {name}" for kind, names in ON_TWO.items() for name in names])
def test_trace_and_verdict_are_those_of_one_process(which: str, on_two: list[dict[str, Any]]) -> None:
    check(on_two, which)


def test_four_ranks() -> None:
    ranks = results("tests.check.distributed.pipelines:compared", size=4, kinds=ON_FOUR)
    for name in ON_FOUR["gpipe"]:
        check(ranks, f"gpipe {name}")


def test_a_sick_stage_is_named_with_its_rank_and_errors_are_those_of_all() -> None:
    first, second = results("tests.check.distributed.pipelines:found_in")
    assert first == second
    (dead,) = (one for one in first["sick"] if one[0] == "dead-unit")
    assert all(name.startswith("stage1.") for name in dead[1])
    assert ["lies on", "rank 1 of 2"] in dead[2]
    assert {name.partition(".")[0] for name in first["names"]} == {"stage0", "stage1"}
    assert first["factory"] == []
    assert first["loss"] == pytest.approx(first["alone"], rel=1e-5)
    assert "what its first stage takes" in first["no batch"]
