"""What a check of several ranks costs: a few numbers a parameter between them, and a little time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ranks import results

pytestmark = pytest.mark.slow

NUMBERS = 14
"""Of a parameter: five of its values, five of its gradient, four of its units that are alike."""


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    return results("tests.check.distributed.costs:communications", ways=["fsdp", "tensor"])


@pytest.mark.parametrize(("way", "more"), [("fsdp", 1), ("tensor", 2)])
def test_a_pass_sends_a_few_numbers_a_parameter_and_gathers_nothing(way: str, more: int, ranks: list[dict[str, Any]]) -> None:
    """Beside what the model itself says in a bare step: one operation, and under tensor parallelism one for activations."""
    for rank in ranks:
        told = rank[way]
        assert told["bare"]
        ours = {
            op: count - told["bare"].get(op, 0) for op, count in told["observed"].items() if count != told["bare"].get(op, 0)
        }
        assert ours == {"c10d.allgather_": more}
        assert 0 < told["sent"][0] <= NUMBERS * told["parameters"]
