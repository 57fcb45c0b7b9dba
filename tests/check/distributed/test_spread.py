"""Spread over ranks, a model has the trace and the verdict that it has in one process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.check.distributed import nets
from tests.support.ranks import results

pytestmark = pytest.mark.slow

NAMES = [*nets.SOUND, *nets.SICK]
SPLIT = ["mlp", "deep mlp", "gelu", "transformer", "vanishing", "exploding"]
"""Those that tensor parallelism can split."""
ON_TWO = {"ddp": NAMES, "ddp inside": NAMES, "fsdp": NAMES, "tensor": SPLIT}
ON_MESH = ["deep mlp", "transformer", "vanishing", "exploding"]
ON_FOUR = {"hsdp": ON_MESH, "fsdp and tensor": ON_MESH, "fsdp": ["transformer", "vanishing"], "tensor": ["transformer"]}
"""What two ranks cannot show: a mesh of two axes, and parts of a tensor that are not halves."""


@pytest.fixture(scope="module")
def on_two() -> list[dict[str, Any]]:
    """One launch for all."""
    return results("tests.check.distributed.spread:compared", ways=ON_TWO)


def check(told: list[dict[str, Any]], way: str, name: str) -> None:
    ranks = [rank[f"{way} {name}"] for rank in told]
    (whole,) = (rank for rank in ranks if "alone" in rank)
    assert [rank["verdict"] for rank in ranks] == [whole["alone"]] * len(ranks)
    assert whole["differences"] == []
    assert any(finding[1] == "error" for finding in whole["alone"]) == (name in nets.SICK)


@pytest.mark.parametrize(("way", "name"), [(way, name) for way, names in ON_TWO.items() for name in names])
def test_trace_and_verdict_are_those_of_one_process(way: str, name: str, on_two: list[dict[str, Any]]) -> None:
    check(on_two, way, name)


def test_four_ranks() -> None:
    told = results("tests.check.distributed.spread:compared", size=4, ways=ON_FOUR)
    for way, names in ON_FOUR.items():
        for name in names:
            check(told, way, name)
