"""What is said when settings are wrong, and the schema that editors read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gradcheck_health import rules
from gradcheck_health.records.errors import UsageError
from gradcheck_health.settings import schema, strict_yaml
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.config_files import in_files
from gradcheck_health.settings.resolution import override, resolve
from gradcheck_health.settings.source import Source
from tests.support.settings import OVERRIDDEN, RULES, refusal


def test_every_problem_is_reported_at_once_with_line_and_nearest_name(tmp_path: Path) -> None:
    text = """seed: "0"
roundz: 3
select: [shrinking-gradiant]
ignore:
  missing-gradient: ""
  mising-gradient:x.*: why
rules:
  shrinking-gradient:
    min_ration: 2
    optimizer: 3
  missing-gradient:
    kinds: [Linear, 3]
    mode: some
batch_size: true
timeout: .nan
dtype: float31
"""
    lines = refusal(tmp_path, text).splitlines()
    assert lines[0] == "12 problems in the settings:"
    told = dict(enumerate(lines[1:], 1))
    expected = [
        (1, "seed: got '0' (text); allowed: a whole number from 0"),
        (2, "roundz: no such setting (did you mean 'rounds'?)"),
        (3, "select[0]: no rule 'shrinking-gradiant' (did you mean 'shrinking-gradient'?)"),
        (5, "ignore.missing-gradient: got '' (text); allowed: the reason"),
        (6, "ignore.mising-gradient:x.*: no rule 'mising-gradient' (did you mean 'missing-gradient'?)"),
        (9, "min_ration: shrinking-gradient has no such option (did you mean 'min_ratio'?)"),
        (10, "optimizer: got 3 (a number); allowed: text"),
        (12, "kinds: got ['Linear', 3] (a list); allowed: a list of text"),
        (13, "mode: got 'some' (text); allowed: 'all' or 'any'"),
        (14, "batch_size: got True (true or false); allowed: a whole number from 1"),
        (15, "timeout: got nan"),
        (16, "dtype: got 'float31' (text); allowed: one of float64, float32"),
    ]
    for number, (line, words) in enumerate(expected, 1):
        assert f"gradhealth.yaml:{line}: " in told[number]
        assert words in told[number]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"rules": {"shrinking-gradient": {"min_ratio": float("nan")}}}, "got nan; allowed: a number"),
        ({"rules": {"shrinking-gradient": {"min_ratio": True}}}, "got True"),
        ({"rules": {"shrinking-gradient": {"steps": 2.5}}}, "allowed: a whole number"),
        ({"rules": {"missing-gradient": {"limit": "x"}}}, "allowed: a number"),
        ({"rules": {"shrinking-gradient": 3}}, "rules.shrinking-gradient: got 3"),
        ({"rules": []}, "rules: got [] (a list); allowed: a table"),
        ({"ignore": ["missing-gradient"]}, "ignore: got ['missing-gradient'] (a list); allowed: a table"),
        ({"ignore": {"missing-gradient": None}}, "allowed: the reason"),
        ({"select": "missing-gradient"}, "allowed: a list of rule names"),
        ({"select": []}, "allowed: a list of rule names, at least one"),
        ({"fail_on": "fatal"}, "allowed: 'error', 'warning' or 'note'"),
        ({"seed": -1}, "allowed: a whole number from 0"),
        ({"extra_rules": [3]}, "extra_rules"),
        ({"args": {"": 1}}, "args"),
    ],
)
def test_wrong_value_is_reported_with_what_is_allowed(table: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=r"^--set: ") as caught:
        resolve([Source("--set", table)], known_rules=RULES)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1, "one problem is told once"


@pytest.mark.parametrize(
    "table",
    [
        {"rules": {"shrinking-gradient": {"min_ratio": 1, "optimizer": "adam", "steps": 1}}},
        {"rules": {"shrinking-gradient": {"min_ratio": float("inf")}}},
        {"rules": {"missing-gradient": {"kinds": ["Linear"], "mode": "any", "limit": None}}},
        {"inputs": {"x": "f32[B,3]"}, "args": {"depth": [1, 2]}},
    ],
)
def test_right_value_is_accepted(table: dict[str, Any]) -> None:
    resolve([Source("--set", table)], known_rules=RULES)


def test_rule_names_are_left_alone_where_rules_are_not_known() -> None:
    table = {"select": ["mine"], "rules": {"mine": {"x": 1}}, "ignore": {"mine": "why"}}
    assert resolve([Source("file", table)], known_rules=None).select == ("mine",)


def test_extra_rules_are_known_with_their_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules_of_mine.py").write_text("def too_loud(trace, *, max_rms: float = 1.0): yield from ()\nNUMBER = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    source = Source("file", {"extra_rules": ["rules_of_mine:too_loud"], "rules": {"too-loud": {"max_rms": 2}}})
    assert resolve([source]).rules == {"too-loud": {"max_rms": 2}}
    with pytest.raises(UsageError, match=r"did you mean 'max_rms'"):
        override(resolve([source]), rules={"too-loud": {"max_rns": 2}})


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("rules_of_nobody:mine", "rules_of_nobody cannot be imported: ModuleNotFoundError"),
        ("json", "write package.module:function"),
        ("json:loadss", "json has no function 'loadss' (did you mean 'loads'?)"),
        (Config, "got a type; allowed: a function of a Trace"),
    ],
)
def test_extra_rule_that_is_none_is_reported(rule: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve([Source("file", {"extra_rules": [rule]})])
    assert words in str(caught.value)


def test_two_rules_of_one_name_are_refused() -> None:
    def vanishing_gradient(trace: object) -> None:
        del trace

    with pytest.raises(UsageError, match="two rules are called 'vanishing-gradient'"):
        rules.load([vanishing_gradient])


def test_shipped_schema_is_that_of_the_settings() -> None:
    found = json.loads(schema.PATH.read_text())
    assert found == schema.schema(), "run python -m gradcheck_health.settings.schema"
    jsonschema.Draft202012Validator.check_schema(found)


@pytest.mark.parametrize(
    "text", [OVERRIDDEN, "fail-on: note\nextra_rules: [a:b]\n", "inputs: {x: 'f32[B,3]'}\nseed: 3\n", "dtype: null\n"]
)
def test_schema_takes_good_settings(text: str) -> None:
    jsonschema.Draft202012Validator(schema.schema()).validate(strict_yaml.read(text).value)


@pytest.mark.parametrize(
    "text",
    [
        "sed: 3\n",
        "seed: x\n",
        "overrides: [{seed: 3}]\n",
        "overrides: [{models: [a], timeout: 3}]\n",
        "ignore: {a: ''}\n",
        "fail_on: fatal\n",
    ],
)
def test_schema_refuses_bad_settings(text: str) -> None:
    assert not jsonschema.Draft202012Validator(schema.schema()).is_valid(strict_yaml.read(text).value)


def test_places_of_an_override_are_meant_from_the_settings_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "gradhealth.yaml").write_text("overrides:\n  - models: ['*']\n    baseline: b.json\n")
    monkeypatch.chdir(tmp_path)
    (source,) = in_files(tmp_path / "sub" / "gradhealth.yaml")
    assert source.table["overrides"][0]["baseline"] == "sub/b.json"


@pytest.mark.parametrize("value", [3, -0.1, 1.5])
def test_share_of_more_than_all_is_no_share(value: float) -> None:
    with pytest.raises(UsageError, match=r"rules\.dead-unit\.max_fraction: got .*; allowed: a share from 0 to 1"):
        resolve([Source("x", {"rules": {"dead-unit": {"max_fraction": value}}})])
