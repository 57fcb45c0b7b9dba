"""Stored traces get the verdicts that are written down: what is asked, found, named, allowed, and what under another bound."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from gradcheck_health import rules
from tests.support import replay

WRITTEN = replay.sections()


@cache
def stored() -> dict[str, Any]:
    return replay.stored()


@pytest.mark.parametrize("name", WRITTEN)
def test_verdict_is_the_one_that_is_written_down(name: str, request: pytest.FixtureRequest) -> None:
    assert replay.section(name, *stored()[name]) == WRITTEN[name] or request.config.getoption("--overwrite")


@pytest.mark.slow
def test_all_verdicts_to_the_letter(request: pytest.FixtureRequest) -> None:
    """`pytest --overwrite tests/rules/test_replay.py` writes them anew: look at what changed."""
    text = replay.written()
    if request.config.getoption("--overwrite"):
        replay.VERDICTS.write_text(text, encoding="utf-8")
    assert text == replay.VERDICTS.read_text(encoding="utf-8")


def test_every_rule_finds_something_among_them() -> None:
    text = replay.VERDICTS.read_text(encoding="utf-8")
    found = re.findall(r"^([a-z-]+): asks for .*\n  (?:error|warning|note): ", text, re.MULTILINE)
    assert set(found) == set(rules.names())


def test_another_bound_is_another_verdict() -> None:
    name = "unbalanced-gradient.sick"
    trace, options = stored()[name]
    assert replay.section(name, trace, {**options, "unbalanced-gradient": {"max_ratio": 2.0}}) != WRITTEN[name]


def test_nothing_of_a_machine_is_stored() -> None:
    assert not re.search(r", /|:\\", replay.VERDICTS.read_text(encoding="utf-8"))
