"""Where settings come from, and which one wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcheck_health.records.finding import Severity
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.resolution import load, override
from gradcheck_health.settings.source import Source
from tests.support.settings import OVERRIDDEN, RULES, load_yaml, refusal, shrinking


def test_defaults_hold_where_nothing_is_said(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert (config.seed, config.rounds, config.select, config.fail_on) == (0, 5, None, Severity.ERROR)
    assert config.origins == {}


def test_later_sources_replace_values_and_merge_tables(tmp_path: Path) -> None:
    text = """
seed: 1
rounds: 7
ignore: {missing-gradient: frozen}
rules: {shrinking-gradient: {min_ratio: 1e-3, steps: 5}}
args: {depth: 3}
"""
    option = Source("--seed", {"seed": 2, "ignore": {"shrinking-gradient:stem.*": "known"}, "args": {"width": 8}})
    config = load_yaml(tmp_path, text, over=[option])
    config = override(config, rules={"shrinking-gradient": {"min_ratio": 0.5}}, seed=None, known_rules=RULES)
    assert config.seed == 2
    assert config.rounds == 7
    assert config.ignore == {"missing-gradient": "frozen", "shrinking-gradient:stem.*": "known"}
    assert config.rules == {"shrinking-gradient": {"min_ratio": 0.5, "steps": 5}}
    assert config.args == {"depth": 3, "width": 8}
    assert config.origins["seed"] == "--seed"
    assert config.origins["rounds"].endswith("gradhealth.yaml:3")
    assert config.origins["rules.shrinking-gradient.min_ratio"] == "argument"
    assert config.origins["rules.shrinking-gradient.steps"].endswith("gradhealth.yaml:5")


def test_nearest_folder_upwards_wins_and_does_not_merge(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.gradhealth]\nseed = 1\nrounds = 2\n")
    assert load(inner).seed == 1
    (tmp_path / "a" / "gradhealth.yaml").write_text("seed: 5\n")
    assert (load(inner).seed, load(inner).rounds) == (5, 5)
    (inner / "pyproject.toml").write_text("[tool.other]\nseed = 9\n")
    assert load(inner).seed == 5, "a pyproject.toml without our table is no settings file"
    assert load(inner, isolated=True).seed == 0
    assert load(inner, file=tmp_path / "pyproject.toml").seed == 1


def test_settings_in_both_files_of_one_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.gradhealth]\n")
    assert "settings in two files" in refusal(tmp_path, "seed: 1")


def test_hyphen_and_underscore_spell_the_same_setting(tmp_path: Path) -> None:
    config = load_yaml(tmp_path, "fail-on: warning\nbatch_size: 4\n")
    assert (config.fail_on, config.batch_size) == (Severity.WARNING, 4)
    assert "stands twice" in refusal(tmp_path, "fail-on: warning\nfail_on: note\n")


def test_keyword_arguments_may_be_what_python_has(tmp_path: Path) -> None:
    import torch

    config = override(
        Config(),
        device=torch.device("cpu"),
        dtype=torch.float64,
        select=("shrinking-gradient",),
        fail_on=Severity.NOTE,
        extra_rules=(shrinking,),
        known_rules=RULES,
    )
    assert (config.device, config.dtype, config.fail_on) == ("cpu", "float64", Severity.NOTE)
    assert (config.select, config.extra_rules) == (("shrinking-gradient",), (shrinking,))


@pytest.mark.parametrize(
    ("name", "seed", "batch_size", "ignore"),
    [
        ("nets/a.py:Net", 1, None, {}),
        ("nets/a.py:Teacher", 2, None, {"missing-gradient": "frozen on purpose"}),
        ("nets/a.py::Teacher", 2, None, {"missing-gradient": "frozen on purpose"}),
        ("other/a.py:Teacher", 1, None, {}),
        ("nets/b.py", 1, 7, {}),
        ("deep/er/b.py:Net", 1, 7, {}),
        ("nets/b.py:Teacher", 2, 7, {"missing-gradient": "frozen on purpose"}),
        ("pkg.nets:build", 1, 7, {}),
        ("pkg.netz:build", 1, None, {}),
    ],
)
def test_override_holds_for_the_models_that_it_names(
    tmp_path: Path, name: str, seed: int, batch_size: int | None, ignore: dict[str, str]
) -> None:
    config = load_yaml(tmp_path, OVERRIDDEN, names=[name])
    assert (config.seed, config.batch_size, config.ignore) == (seed, batch_size, ignore)
    assert config.rules == ({} if batch_size is None else {"shrinking-gradient": {"steps": 9}})
    assert config.models == ("nets/a.py:Net", "nets/b.py")


def test_override_is_seen_from_its_file_and_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    load_yaml(tmp_path, OVERRIDDEN)
    monkeypatch.chdir(tmp_path / "sub")
    for name in ("../nets/a.py:Teacher", f"{tmp_path}/nets/a.py:Teacher"):
        config = load(known_rules=RULES, names=[name])
        assert config.seed == 2
        assert config.origins["seed"].endswith("gradhealth.yaml:6")
        assert config.origins["ignore.missing-gradient"].endswith("gradhealth.yaml:7")


def test_options_go_over_an_override(tmp_path: Path) -> None:
    config = load_yaml(tmp_path, OVERRIDDEN, names=["nets/a.py:Teacher"], over=[Source("--seed", {"seed": 5})])
    assert config.seed == 5


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("seed: 2", "gradhealth.yaml:3: overrides[0]: no models; allowed: a list of patterns"),
        ("{models: [a], sed: 2}", "overrides[0].sed: no such setting (did you mean 'seed'?)"),
        ("{models: [a], seed: x}", "overrides[0].seed: got 'x' (text); allowed: a whole number from 0"),
        ("{models: a}", "overrides[0].models: got 'a' (text); allowed: a list of patterns"),
        ("{models: []}", "overrides[0].models: got [] (a list); allowed: a list of patterns"),
        ("{models: [a], timeout: 3}", "overrides[0].timeout: holds for a whole run"),
        ("{models: [a], fail-on: note}", 'overrides[0].fail_on: changes what is reported for these models: add reason = "why"'),
        ("{models: [a], ignore: {missing-gradiant: x}}", "did you mean 'missing-gradient'?"),
        ("3", "overrides[0]: got 3 (a number); allowed: a list of tables"),
    ],
)
def test_wrong_override_is_reported(tmp_path: Path, entry: str, words: str) -> None:
    assert words in refusal(tmp_path, f"overrides:\n\n  - {entry}\n")
