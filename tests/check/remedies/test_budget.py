"""All cures of a model take no longer than thirty checks of it, and what that cuts off is listed."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients
from gradcheck_health.check.remedies import budget
from gradcheck_health.formats import _remedies
from gradcheck_health.records.remedies import NOT_MEASURED


def chain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(layer for _ in range(10) for layer in (nn.Linear(16, 16), nn.Sigmoid())), nn.Linear(16, 3))


def test_what_would_end_too_late_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "process_time", lambda: now)
    left = budget.Budget.of(2.0)
    assert left.end == 160.0 and left.half().end == 130.0
    assert left.allows(60.0) and not left.allows(60.1)
    now = 159.0
    assert left.allows(1.0) and not left.allows(1.1)


@pytest.mark.slow
def test_cures_for_which_no_time_is_left_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "CHECKS", 1)
    report = check_gradients(chain(), torch.randn(64, 16), remedies=True)
    cut = [trial for trial in report.remedies if trial.why == budget.SPENT]
    assert cut and all(trial.outcome == NOT_MEASURED and not trial.helps for trial in cut)
    text = " ".join("\n".join(_remedies.lines(report, 100)).split())
    assert text.count(f"({budget.SPENT})") == 1 and cut[0].remedy in text


@pytest.mark.slow
def test_with_the_usual_time_nothing_is_cut_off() -> None:
    report = check_gradients(chain(), torch.randn(64, 16), remedies=True)
    assert report.remedies and all(trial.why != budget.SPENT for trial in report.remedies)
