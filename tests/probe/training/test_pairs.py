"""Trainings that people reported sick, rebuilt small: the fault is named at its place, and the mended twin is quiet."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from gradcheck_health import Finding, Report, Severity, check_gradients, check_step
from tests.probe.training import loops, losses, optimizers, starts
from tests.probe.training.entry import Pair, pairs

PAIRS = pairs(losses, optimizers, starts, loops)
pytestmark = pytest.mark.filterwarnings("ignore")
"""torch warns of some of them; others run in half precision on the CPU."""


def report(entry: Pair, sick: bool) -> Report:
    torch.manual_seed(0)
    handed = entry.make(sick)
    return (check_step if "step" in handed else check_gradients)(**handed)


def text(finding: Finding) -> str:
    details: list[Any] = [part for pair in finding.details for part in pair]
    return " ".join([finding.message, *map(str, finding.places), *details])


@pytest.mark.slow
@pytest.mark.parametrize("entry", PAIRS, ids=lambda entry: entry.name)
def test_the_fault_is_named_at_its_place(entry: Pair) -> None:
    found = [one for one in report(entry, sick=True).findings if one.rule in entry.rule.split("|")]
    assert found
    assert any(re.search(entry.at, text(one)) for one in found), [text(one) for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("entry", PAIRS, ids=lambda entry: entry.name)
def test_the_mended_twin_is_quiet(entry: Pair) -> None:
    loud = [one for one in report(entry, sick=False).findings if one.severity is not Severity.NOTE or one.rule == entry.rule]
    assert [text(one) for one in loud] == []


def test_there_are_enough_of_them() -> None:
    assert len(PAIRS) >= 100
    assert len({entry.name for entry in PAIRS}) == len(PAIRS)
