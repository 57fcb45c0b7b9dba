"""What the ranks found becomes one list, with the ranks that found it where not all did."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from gradcheck_health import Finding, Severity
from gradcheck_health.check.distributed import agree
from gradcheck_health.records.finding import Place


class Ranks:
    """Of two ranks the other one says what it is told to."""

    size = 2

    def __init__(self, other: list[Any] | None) -> None:
        self.other = other

    def exchange(self, what: str, said: list[Any]) -> list[list[Any]]:
        return [said, said if self.other is None else self.other]


@pytest.mark.parametrize(("other", "details"), [([], (("only on", "rank 0 of 2"),)), (None, ())], ids=["one rank", "both"])
def test_a_finding_of_some_ranks_says_so_in_one_line(
    other: list[Any] | None, details: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agree, "current", lambda: Ranks(other))
    finding = Finding("dead-unit", Severity.ERROR, "all are dead", (Place("0", "Linear"),))
    (shared,) = agree.shared_findings([finding], nn.Linear(2, 2))
    assert shared.details == details
