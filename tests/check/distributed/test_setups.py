"""What only distribution breaks is found and explained, and what looks like it is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.check.distributed import setups
from tests.support.ranks import results

pytestmark = pytest.mark.slow

RULES = {"ranks-disagree", "rank-scaled-gradient", "uneven-gradient", "ranks-alike"}


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    """One launch for all."""
    return results("tests.check.distributed.setups:verdicts")


@pytest.mark.parametrize("name", setups.SICK)
def test_broken_set_up_is_found_and_explained(name: str, ranks: list[dict[str, Any]]) -> None:
    first, second = (rank[name] for rank in ranks)
    assert first["verdict"] == second["verdict"]
    rule = setups.SICK[name][0]
    (said,) = (text for text in first["texts"] if text[0] == rule)
    assert any("help" in line for line in said)
    found = {finding[0]: finding[1] for finding in first["verdict"]}
    assert found[rule] == {"ranks-alike": "note", "rank-scaled-gradient": found[rule]}.get(rule, "error")
    assert found[rule] != "note" or rule == "ranks-alike"


@pytest.mark.parametrize("name", setups.SOUND)
def test_sound_set_up_is_quiet(name: str, ranks: list[dict[str, Any]]) -> None:
    first, second = (rank[name]["verdict"] for rank in ranks)
    assert first == second
    assert [finding for finding in first if finding[1] != "note"] == []


def test_there_are_twenty_of_each() -> None:
    assert not setups.SICK.keys() & setups.SOUND.keys()
    assert len(setups.SICK) >= 20
    assert len(setups.SOUND) >= 20
