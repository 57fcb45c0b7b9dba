"""Spread over ranks, a model has the trace and the verdict that it has in one process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.check.distributed import nets
from tests.support.ranks import results

NAMES = [*nets.SOUND, *nets.SICK]
SPLIT = ["mlp", "deep mlp", "gelu", "transformer", "vanishing", "exploding"]
"""Those that tensor parallelism can split."""


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    """One spawn for all."""
    return results("tests.check.distributed.spread:compared", ways=["ddp", "fsdp"], names=NAMES)


def check(told: list[dict[str, Any]], way: str, name: str) -> None:
    for rank in told:
        alone, spread = rank[f"{way} {name}"]["verdicts"]
        assert alone == spread
        assert rank[f"{way} {name}"]["differences"] == []
    assert any(finding[1] == "error" for finding in alone) == (name in nets.SICK)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_trace_and_verdict_are_those_of_one_process(way: str, name: str, told: list[dict[str, Any]]) -> None:
    check(told, way, name)


def test_tensor_parallel_model_is_that_of_one_process() -> None:
    told = results("tests.check.distributed.spread:compared", ways=["tensor"], names=SPLIT)
    for name in SPLIT:
        check(told, "tensor", name)


@pytest.mark.slow
def test_four_ranks() -> None:
    ways, names = ["ddp", "fsdp", "hsdp", "tensor", "fsdp and tensor"], SPLIT
    told = results("tests.check.distributed.spread:compared", size=4, ways=ways, names=names)
    for way in ways:
        for name in names:
            check(told, way, name)
