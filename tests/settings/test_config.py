"""Settings: where they come from, which one wins, and what is said when they are wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradcheck_health import rules
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Severity
from gradcheck_health.settings import schema, strict_yaml
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.config_files import in_files, nearest
from gradcheck_health.settings.resolution import load, override, resolve
from gradcheck_health.settings.source import Source


def shrinking(trace: object, *, min_ratio: float = 1e-4, optimizer: str = "sgd", steps: int = 3) -> Iterator[object]:
    yield from ()


def missing(
    trace: object, *, kinds: tuple[str, ...] = (), mode: Literal["all", "any"] = "all", limit: float | None = None
) -> None:
    del trace, kinds, mode, limit


RULES: Mapping[str, Callable[..., Any]] = {"shrinking-gradient": shrinking, "missing-gradient": missing}


def load_yaml(folder: Path, text: str, **keywords: Any) -> Config:
    (folder / "gradhealth.yaml").write_text(text)
    return load(folder, known_rules=RULES, **keywords)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_yaml(folder, text)
    return str(caught.value)


# ---- which source wins


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


# ---- what is said about wrong ones


def test_every_problem_is_told_at_once_with_line_and_nearest_name(tmp_path: Path) -> None:
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
def test_wrong_value_is_told_with_what_is_allowed(table: dict[str, Any], words: str) -> None:
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


# ---- rules of a person's own


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
def test_extra_rule_that_is_none_is_told(rule: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve([Source("file", {"extra_rules": [rule]})])
    assert words in str(caught.value)


def test_two_rules_of_one_name_are_refused() -> None:
    def vanishing_gradient(trace: object) -> None:
        del trace

    with pytest.raises(UsageError, match="two rules are called 'vanishing-gradient'"):
        rules.load([vanishing_gradient])


# ---- files that are no settings files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: *x\n", ":1: anchors and aliases"),
        ("b: *x\n", ":1: anchors and aliases"),
        ("ignore:\n  <<: {a: b}\n", ":2: merge keys"),
        ("seed: !!python/object/apply:os.system [id]\n", ":1: tags"),
        ("seed: !!int 3\n", ":1: tags"),
        ("seed: 1\nrounds: 2\nseed: 3\n", ":3: 'seed' stands twice, first on line 1"),
        ("seed: 1\n---\nseed: 2\n", ":2: a second document"),
        ("seed: [1\n", "gradhealth.yaml:2: "),
        ("- seed\n", "got a list; allowed: a table of settings"),
        ("? [a, b]\n: 1\n", ":1: a key must be a word"),
        ("seed: " + "[" * 40 + "]" * 40, ":1: nested more than 32 deep"),
        ("args: [" + "1," * 20_000 + "]", "more than 10000 values"),
        ("#" * 300_000, "larger than 256 KiB"),
        ("seed: " + "9" * 5000, "this is not YAML"),
        ("seed: \x00", "gradhealth.yaml"),
    ],
)
def test_dangerous_or_broken_yaml_is_one_error(tmp_path: Path, text: str, words: str) -> None:
    started = time.perf_counter()
    message = refusal(tmp_path, text)
    assert time.perf_counter() - started < 2
    assert words in message


def test_bytes_that_are_no_text_and_broken_toml_are_errors(tmp_path: Path) -> None:
    (tmp_path / "gradhealth.yaml").write_bytes(b"seed: \xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        nearest(tmp_path)
    (tmp_path / "gradhealth.yaml").unlink()
    (tmp_path / "pyproject.toml").write_text("[tool.gradhealth\n")
    with pytest.raises(UsageError, match="this is not TOML"):
        nearest(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.gradhealth]\nseed = 1\n" + "x = " + "[" * 5000)
    with pytest.raises(UsageError, match="this is not TOML"):
        nearest(tmp_path)


def test_broken_file_that_holds_nothing_for_us_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "gradhealth.yaml").write_text("seed: 3")
    inner = tmp_path / "inner"
    inner.mkdir()
    for content in (b"[tool.other\n", b"name = '\xff'\n", b"#" * 2_000_000):
        (inner / "pyproject.toml").write_bytes(content)
        assert load(inner).seed == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-8", 1e-8),
        ("1.5", 1.5),
        ("-.5E3", -500.0),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("-.inf", float("-inf")),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ('"1"', "1"),
        ("'true'", "true"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    read = strict_yaml.read(f"key: {text}").value["key"]
    assert read == value
    assert type(read) is type(value)


_words = st.text(st.characters(codec="utf-8"), max_size=12)
_leaves = st.none() | st.booleans() | st.integers() | st.floats()
_values = st.recursive(
    _leaves | _words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=12,
)
_keys = st.sampled_from(
    ["seed", "rounds", "select", "ignore", "rules", "extra_rules", "fail-on", "timeout", "args", "dtype", "x"]
)


@settings(max_examples=300, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_keys, _values, max_size=5))
def test_any_table_is_settings_or_one_usage_error(table: dict[str, Any]) -> None:
    try:
        assert isinstance(resolve([Source("fuzz", table)], known_rules=RULES), Config)
    except UsageError as error:
        assert "fuzz: " in str(error)  # noqa: PT017 - success is right, too


_fragments = st.sampled_from(
    [
        "seed: 1",
        "\n",
        "  ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "|",
        ">",
        "'",
        '"',
        ": ",
        "? ",
        "%YAML",
        "---",
        "\t",
        "#",
        "1e-8",
        "\\x00",
        "é",
        "\u202e",
    ]
)


@settings(max_examples=500, deadline=1000)
@given(st.lists(_fragments | _words, max_size=25).map("".join))
def test_any_text_is_yaml_or_a_yaml_error(text: str) -> None:
    try:
        strict_yaml.read(text)
    except strict_yaml.YamlError as error:
        assert str(error)  # noqa: PT017 - success is right, too


# PyYAML itself does not read back the line breaks of Unicode
_printable = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Co", "Cn"], exclude_characters="\ufeff")
).filter(
    lambda text: not re.fullmatch(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?", text)
)  # 0E0: text in YAML 1.1, a number in 1.2
_printable_values = st.recursive(
    _leaves | _printable,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_printable, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=1000)
@given(_printable_values)
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    """An independent writer: PyYAML quotes what YAML 1.1 would misread, which YAML 1.2 then reads as text, too."""
    import yaml

    text = yaml.safe_dump({"key": value}, allow_unicode=True, sort_keys=False)
    if "&id" in text:  # it writes an anchor where one object stands twice
        return
    read = strict_yaml.read(text).value["key"]
    assert repr(read) == repr(_as_read(value))


def _as_read(value: object) -> object:
    """Keys are text in settings, whatever YAML calls them."""
    if isinstance(value, dict):
        return {key: _as_read(item) for key, item in value.items()}
    return [_as_read(item) for item in value] if isinstance(value, list) else value


# ---- overrides

OVERRIDDEN = """
seed: 1
models: [nets/a.py:Net, nets/b.py]
overrides:
  - models: ["nets/*.py:Teacher"]
    seed: 2
    ignore: {missing-gradient: frozen on purpose}
  - models: [b.py, "pkg.nets:*"]
    batch-size: 7
    rules: {shrinking-gradient: {steps: 9}}
    reason: it is trained for nine steps
"""


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
def test_wrong_override_is_told(tmp_path: Path, entry: str, words: str) -> None:
    assert words in refusal(tmp_path, f"overrides:\n\n  - {entry}\n")


# ---- the schema for editors


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
