"""`check_step` on several ranks: what the steps leave behind has to be the same on all of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ranks import results

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    return results("tests.check.distributed.steps:verdicts")


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_steps_that_bring_gradients_together_are_quiet(way: str, ranks: list[dict[str, Any]]) -> None:
    assert [rank[way]["verdict"] for rank in ranks] == [[], []]


@pytest.mark.parametrize("way", ["inside", "no_sync", "rates"])
def test_steps_that_each_rank_takes_alone_are_found(way: str, ranks: list[dict[str, Any]]) -> None:
    first, second = (rank[way] for rank in ranks)
    assert first == second
    assert [finding[:2] for finding in first["verdict"]] == [["ranks-disagree", "error"]]
    assert "trained parameters not the same on 2 ranks" in first["said"][0]
