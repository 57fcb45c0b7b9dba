"""What suspicions may cost: counted in passes, and named wherever it cut something off."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcheck_health import Severity, check_gradients
from gradcheck_health.check.budget import Budget
from gradcheck_health.formats import html, json, markdown, terminal
from gradcheck_health.model.call import call
from gradcheck_health.records.inputs import Inputs


def vanishing() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(layer for _ in range(12) for layer in (nn.Linear(16, 16), nn.Sigmoid())), nn.Linear(16, 2))


def batch(rows: int) -> Inputs:
    return Inputs((torch.zeros(rows, 16),), batch=rows)


def test_calls_count_by_their_share_of_the_batch_and_a_quarter_at_least() -> None:
    budget = Budget(2, batch(8))
    call(vanishing(), batch(8), 0)  # outside
    with budget.paying("twice"):
        call(vanishing(), batch(8), 0)
        call(vanishing(), batch(4), 0)
        call(vanishing(), batch(1), 0)
    assert budget.passes == 1.75 and not budget.spent
    with budget.paying("twice"):
        call(vanishing(), batch(8), 0)
    assert budget.spent


@pytest.mark.slow
def test_a_batch_of_two_is_a_quarter_of_one_of_eight() -> None:
    """A fact that wants 256 samples takes 128 passes of two, which were "not confirmed (cost)" on sound models."""
    budget = Budget(64, batch(2))
    with budget.paying("more_samples"):
        for _ in range(128):
            call(vanishing(), batch(2), 0)
    assert budget.passes == 32 and not budget.spent


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [1, 3, 6])
def test_suspicion_that_the_budget_does_not_settle_is_reported_as_such(allowed: int) -> None:
    report = check_gradients(vanishing(), torch.randn(8, 16), fact_budget=allowed)
    (finding,) = (one for one in report.findings if one.rule == "vanishing-gradient")
    assert finding.severity is Severity.WARNING and finding.message.startswith("not confirmed (cost): ")
    assert f"fact_budget={allowed}" in dict(finding.details)["because"]
    for render in (terminal.render, html.render, json.render, markdown.render):
        assert "not confirmed (cost)" in render(report)


@pytest.mark.slow
def test_enough_confirms_and_the_help_names_enough() -> None:
    cut = check_gradients(vanishing(), torch.randn(8, 16), fact_budget=1)
    (finding,) = (one for one in cut.findings if one.rule == "vanishing-gradient")
    assert finding.severity is Severity.WARNING
    report = check_gradients(vanishing(), torch.randn(8, 16))
    assert [one.severity for one in report.findings if one.rule == "vanishing-gradient"] == [Severity.ERROR]
    assert not any("cost" in one.message for one in report.findings)


def test_sound_models_do_not_notice_it() -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))
    assert check_gradients(model, torch.randn(32, 16), fact_budget=1).findings == ()


def test_fact_that_was_asked_for_by_name_is_a_gap_where_it_was_not_measured() -> None:
    report = check_gradients(vanishing(), torch.randn(8, 16), fact_budget=1, facts=("detailed", "initialisations"))
    missing = {"detailed", "initialisations"} - report.trace.facts.keys()
    assert missing and all(any(f"({fact})" in gap for gap in report.trace.gaps) for fact in missing)


def test_a_step_of_the_optimizer_is_charged_as_one_pass_however_often_it_calls_the_model() -> None:
    budget = Budget(64, batch(8))
    with budget.paying("more_steps"):
        for _ in range(30):
            call(vanishing(), batch(8), 0)
    assert budget.passes == 10
