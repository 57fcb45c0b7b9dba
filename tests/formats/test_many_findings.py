"""Reports of large models: the work grows with their size, not with its square. Counted in calls of Python, not in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from gradcheck_health import formats
from gradcheck_health.check.suppressions import accept
from gradcheck_health.records.finding import Place
from gradcheck_health.records.report import Report
from tests.support.hostile import finding, report

FORMATS = {name: formats.find(name) for name in formats.names()}
FEW, MANY = 100, 400


def places(count: int) -> list[Place]:
    return [Place(f"encoder.{i}", "Sigmoid", "model.py:41") for i in range(count)]


REPORTS: dict[str, Callable[[int], Report]] = {
    "many findings of one rule": lambda n: report(*(finding(places=(place,)) for place in places(n))),
    "many rules": lambda n: report(*(finding(rule=f"rule-{i}", places=(place,)) for i, place in enumerate(places(n)))),
    "many places": lambda n: report(finding(places=tuple(places(n)))),
    "many accepted": lambda n: report(*(finding(places=(place,), suppressed="known") for place in places(n))),
}


def calls(work: Callable[[], Any]) -> int:
    """Functions that were called, of Python and of C."""
    count = 0

    def see(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def growth(work: Callable[[int], Callable[[], Any]]) -> float:
    work(FEW)()  # caches are filled
    return calls(work(MANY)) / calls(work(FEW))


@pytest.mark.slow
@pytest.mark.parametrize("kind", REPORTS)
@pytest.mark.parametrize("module", FORMATS.values(), ids=FORMATS)
def test_document_costs_what_it_shows(module: ModuleType, kind: str) -> None:
    def rendered(count: int) -> Callable[[], Any]:
        made = REPORTS[kind](count)
        return lambda: module.render(made)

    assert growth(rendered) < 1.5 * MANY / FEW


def test_accepting_costs_what_is_accepted() -> None:
    def accepted(count: int) -> Callable[[], Any]:
        found = [finding(places=(place,)) for place in places(count)]
        ignore = {f"{one.rule}:{one.places[0].name}": "known" for one in found}
        return lambda: accept(found, ignore, [found[0].rule])

    assert growth(accepted) < 1.5 * MANY / FEW
