"""Files that are settings, files that are none, and YAML as it is meant."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradcheck_health.records.errors import UsageError
from gradcheck_health.settings import strict_yaml
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.config_files import nearest
from gradcheck_health.settings.resolution import load, resolve
from gradcheck_health.settings.source import Source
from tests.support.settings import RULES, refusal


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


def test_file_that_nobody_can_search_for_our_name_is_not_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pyproject.toml")
    with pytest.raises(UsageError, match=r"pyproject\.toml: got something that is no regular file"):
        load(tmp_path)


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
