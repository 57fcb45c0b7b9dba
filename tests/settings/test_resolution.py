"""Settings are checked where they are set, once: for the next model only its overrides are looked up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gradcheck_health import UsageError, check_gradients
from gradcheck_health.cli.workers import worker
from gradcheck_health.records.finding import Severity
from gradcheck_health.settings import validation
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.resolution import load, override, resolve, validated
from gradcheck_health.settings.source import Source

SOURCES = [
    Source(
        "gradhealth.yaml", {"seed": 1, "overrides": [{"models": ["net.py:A"], "seed": 2, "ignore": {"dead-unit": "known"}}]}
    ),
    Source("--rounds", {"rounds": 3}),
]

MODEL = "class {}(nn.Linear):\n    def __init__(self, depth=1): super().__init__(2, depth)\n"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The origin of every source whose values were checked."""
    found: list[str] = []
    problems: Callable[..., list[str]] = validation.problems

    def counted(source: Source, rules: Any) -> list[str]:
        found.append(source.origin)
        return problems(source, rules)

    monkeypatch.setattr(validation, "problems", counted)
    return found


def test_what_holds_for_a_model_is_put_together_without_checking_again(checked: list[str]) -> None:
    settings = validated(SOURCES)
    for name in ("net.py:A", "net.py:B"):
        config = settings.for_model(name)
        again = resolve(SOURCES, names=[name])
        assert (config, config.origins) == (again, again.origins)
        assert override(config) is config
    assert checked == ["gradhealth.yaml", "--rounds"] * 3, "once, and once for each comparison"
    assert override(config, seed=7).seed == 7
    assert checked[6:] == ["argument"]


def test_worker_checks_settings_once_however_many_models(
    checked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass A(nn.Linear):\n  def __init__(self): super().__init__(2, 2)\n" * 2
    )
    (tmp_path / "net.py").write_text((tmp_path / "net.py").read_text().replace("class A", "class B", 1))
    sources = [{"origin": s.origin, "table": {**s.table, "memory": "none"}, "lines": []} for s in SOURCES]
    monkeypatch.setitem(worker.JOBS, "report", lambda one, config: (override(config).seed, config.rounds))
    sent: list[tuple[str, Any]] = []
    request = {"sources": sources, "target": "net.py", "done": [], "job": "report"}
    worker.work(request, lambda kind, **values: sent.append((kind, values)))
    assert {values["target"]: values["value"] for kind, values in sent if kind == "report"} == {
        "net.py:A": (2, 3),
        "net.py:B": (1, 3),
    }
    assert checked == ["gradhealth.yaml", "--rounds"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seed": -1}, "config: seed: got -1 (a number); allowed: a whole number from 0"),
        ({"rounds": "5"}, "config: rounds: got '5' (text); allowed: a whole number from 1 to 1000"),
        ({"select": ("dead-units",)}, "no rule 'dead-units' (did you mean 'dead-unit'?)"),
        ({"rules": {"dead-unit": {"max_fraction": "x"}}}, "config: rules.dead-unit.max_fraction: got 'x' (text)"),
    ],
)
def test_config_that_is_put_together_by_hand_is_checked(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_gradients(None, config=Config(**values))
    assert words in str(caught.value)


def test_config_by_hand_is_what_the_same_sources_give(checked: list[str]) -> None:
    assert override(Config()) == Config() and checked == [], "defaults are right"
    tensor = torch.ones(2)
    by_hand = Config(seed=3, fail_on=Severity.NOTE, inputs=tensor, select=("dead-unit",), origins={"seed": "here"})
    held = override(by_hand)
    assert dataclasses.replace(held, origins={}, inputs=None) == dataclasses.replace(by_hand, origins={}, inputs=None)
    assert held.inputs is tensor and held.validated
    assert held.origins == {"seed": "here", "fail_on": "config", "inputs": "config", "select": "config"}


def test_what_comes_from_sources_is_marked() -> None:
    assert load(isolated=True).validated and resolve(SOURCES).validated and not Config().validated
    assert resolve(SOURCES) == dataclasses.replace(resolve(SOURCES), validated=False), "the mark is no setting"
