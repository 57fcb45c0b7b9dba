"""Spread over ranks, a model has the trace and the verdict that it has in one process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.check.distributed import nets
from tests.support.ranks import results

NAMES = [*nets.SOUND, *nets.SICK]


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    """One spawn for all."""
    return results("tests.check.distributed.spread:compared", ways=["ddp", "fsdp"], names=NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_trace_and_verdict_are_those_of_one_process(way: str, name: str, told: list[dict[str, Any]]) -> None:
    for rank in told:
        alone, spread = rank[f"{way} {name}"]["verdicts"]
        assert alone == spread
        assert rank[f"{way} {name}"]["differences"] == []
    errors = [finding for finding in alone if finding[1] == "error"]
    assert bool(errors) == (name in nets.SICK)
