"""Losses that go up and come back, and losses that do not: made-up runs, whose verdict can be told by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
from torch import nn

from gradcheck_health.check.unprobed import bare_trace
from gradcheck_health.records.history import History, Track
from gradcheck_health.rules.diverging_loss import diverging_loss


def verdict(losses: list[float]) -> list[int]:
    """The steps after which the rule fires."""
    trace = bare_trace(nn.Linear(1, 1), 0, "the loop")
    found = []
    for count in range(1, len(losses) + 1):
        track = Track((), (), steps=count, losses=tuple(enumerate(losses[:count], 1)))
        seen = dataclasses.replace(trace, history=History("Net", (track,)))
        if list(diverging_loss(seen)):
            found.append(count)
    return found


def peak(height: float, rise: int, fall: int) -> list[float]:
    up = [height ** (k / rise) for k in range(rise + 1)]
    down = [height ** (1 - k / fall) for k in range(1, fall + 1)]
    return [1.0, *up, *down, *([1.0] * 30)]


@pytest.mark.parametrize(("height", "rise", "fall"), [(80, 5, 4), (130, 3, 2), (20, 12, 9), (900, 6, 6)])
def test_peak_that_goes_by_is_no_divergence(height: float, rise: int, fall: int) -> None:
    assert verdict(peak(height, rise, fall)) == []


def test_loss_that_has_grown_a_thousandfold_and_rises_is_one_at_once() -> None:
    assert verdict([1.0, 50.0, 900.0, 2000.0])[0] == 4


def test_loss_that_stays_up_is_one_after_twenty_steps() -> None:
    assert verdict([1.0] * 5 + [3.0] * 30)[0] == 25


def test_loss_that_comes_down_slowly_from_a_thousandfold_is_one_after_twenty_steps() -> None:
    assert verdict([1.0, 9e3, 4e4, *(2e4 * 0.8**k for k in range(30))])[0] == 21
    assert verdict([1.0, 9e3, 4e4, *(2e4 * 0.5**k for k in range(30))]) == []


def test_loss_that_is_not_finite_is_one_at_that_step() -> None:
    assert verdict([1.0, 1.0, math.inf]) == [3]
