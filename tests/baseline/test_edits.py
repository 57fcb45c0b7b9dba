"""The gate on the edits of a pull request: sound ones pass, those that hurt the flow are stopped, under a seed of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from torch import nn

from gradcheck_health import baseline, check_gradients
from tests.baseline.edits import EDITS, Conv, Edit, Residual, normalised, perceptron


@cache
def held(build: Callable[[], nn.Module]) -> baseline.Baseline:
    return baseline.of(check_gradients(build, facts=["reseeded"]))


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS, ids=[edit.name for edit in EDITS])
def test_gate_stops_what_hurts_and_nothing_else(edit: Edit) -> None:
    report = check_gradients(edit.after, baseline=held(edit.before), seed=1000)
    assert report.ok == edit.sound, [finding.message for finding in report.failures]


@pytest.mark.slow
def test_gate_by_the_flow_alone_passes_every_sound_edit() -> None:
    """No other rule asks for the facts that explain a change."""
    for edit in EDITS:
        if edit.sound:
            report = check_gradients(edit.after, baseline=held(edit.before), select=["regressed-gradient"], seed=7)
            assert report.ok, (edit.name, [finding.message for finding in report.failures])


@pytest.mark.slow
@pytest.mark.parametrize("build", [Conv, Residual, perceptron, normalised])
def test_the_way_back_of_a_sound_edit_passes_too(build: Callable[[], nn.Module]) -> None:
    for edit in EDITS:
        if edit.sound and edit.before is build:
            report = check_gradients(build, baseline=held(edit.after), seed=3)
            assert report.ok, (edit.name, [finding.message for finding in report.failures])
