"""The ranks try the same cures, though each counts its own time."""

from __future__ import annotations

import pytest

from gradcheck_health.check.remedies.budget import SPENT
from tests.support.ranks import results

pytestmark = pytest.mark.slow


def test_time_that_is_over_on_one_rank_is_over_on_all() -> None:
    first, second = results("tests.check.distributed.remedies:tried")
    assert first == second
    assert any(why == SPENT for _, _, why in first)
    assert any(outcome != "not measured" for _, outcome, _ in first)
