"""A setting is said once: what is made from the catalogue is what was written by hand before, and a new field is enough."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gradcheck_health
from gradcheck_health import check_gradients
from gradcheck_health.settings import catalogue
from gradcheck_health.settings.config import Config

PACKAGE = Path(gradcheck_health.__file__).parent
BY_HAND = {
    "LISTS": {"select", "extra_rules", "models", "overrides"},
    "MERGED": {"ignore", "expect", "rules", "args", "saved_inputs"},
    "ONLY_OUTSIDE": {"overrides", "extra_rules", "preset", "saved_inputs", "timeout", "memory"},
    "WITH_REASON": {"select", "rules", "fail_on"},
    "PATHS": {"baseline", "checkpoint"},
    "REASONS": {"ignore", "expect"},
    "ENTRIES": {"rules", "ignore", "expect", "args"},
    "OPTIONS": {"seed", "rounds", "device", "dtype", "batch_size", "timeout", "memory", "fail_on", "preset", "loss"},
}
"""The lists as they stood in six files before there was a catalogue."""
BEFORE = set().union(*BY_HAND.values(), {"inputs", "targets", "causal", "batch_axis", "optimizer"})
FIELD = """
    momentum: float | None = setting(
        None, "a number from 0 to 1", limits={"ge": 0, "le": 1}, example=0.9, option=Option("model", "What is kept of a step")
    )
    \"\"\"Of the optimizer.\"\"\"
    knobs: Mapping[Word, float] = setting({}, "a table of numbers", entry="KNOB", in_call=False)
"""
PROGRAM = """
import json
from pathlib import Path
from click.testing import CliRunner
import gradcheck_health
from docs.parts.coded import settings_table
from gradcheck_health import UsageError, check_gradients
from gradcheck_health.cli import baseline, check, diff
from gradcheck_health.cli.commands import config, init
from gradcheck_health.pytest_plugin import marker, options
from gradcheck_health.settings.from_options import sources
from gradcheck_health.settings.resolution import load
from gradcheck_health.settings.schema import schema

def refused(call, *words):
    try:
        call()
    except UsageError as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError("nothing was refused")

assert gradcheck_health.__file__.startswith(str(Path.cwd())), gradcheck_health.__file__
Path("gradhealth.yaml").write_text("momentum: 0.5\\n")
held = load()
assert held.momentum == 0.5 and held.origins == {"momentum": "gradhealth.yaml:1"}
assert load(over=sources({"momentum": 0.25})).origins == {"momentum": "--momentum"}
turned = load(over=sources({"settings": ["knobs.a=1.5", "momentum=1"]}))
assert turned.knobs == {"a": 1.5} and turned.origins == {"knobs.a": "--set", "momentum": "--set"}
refused(lambda: sources({"settings": ["seed.x=1"]}), "'seed' is no table", "args.NAME, knobs.KNOB")
refused(lambda: load(over=sources({"settings": ["knobs.a=b"]})), "knobs.a: got 'b' (text); allowed: a table of numbers")
for command in (check.check, diff.diff, *(baseline.baseline.commands[name] for name in ("write", "check"))):
    (option,) = [option for option in command.params if option.name == "momentum"]
    assert option.opts == ["--momentum"] and option.type.name == "float" and option.help == "What is kept of a step."
assert options.OPTIONS["momentum"] == {"help": "what is kept of a step", "type": float, "metavar": "N"}
assert ", momentum" in marker.MARKER
assert schema()["properties"]["momentum"]["anyOf"][0] == {"maximum": 1, "minimum": 0, "type": "number"}
assert "momentum" in schema()["$defs"]["Override"]["properties"]
assert "# a number from 0 to 1\\n# momentum: 0.9\\n" in init.as_yaml() and "# momentum = 0.9\\n" in init.as_toml()
assert "momentum" in config.render([], None)
assert "| `momentum` | `None` | a number from 0 to 1 | Of the optimizer. |" in settings_table()
refused(lambda: check_gradients(None, momentum=7), "momentum: got 7 (a number)", "allowed: a number from 0 to 1")
Path("gradhealth.yaml").write_text("momentun: 0.5\\n")
refused(load, "gradhealth.yaml:1: momentun: no such setting (did you mean 'momentum'?)")
"""


def test_lists_are_those_that_were_written_by_hand() -> None:
    assert set(catalogue.SETTINGS) >= BEFORE
    for name, by_hand in BY_HAND.items():
        assert {setting for setting in getattr(catalogue, name) if setting in BEFORE} == by_hand, name


def test_signature_is_the_catalogue() -> None:
    parameters = inspect.signature(check_gradients).parameters
    assert set(parameters) - {"model", "target", "config", "facts", "isolation"} == set(catalogue.IN_A_CALL)
    arguments = (inspect.getdoc(check_gradients) or "").partition("Args:")[2].partition("Raises:")[0]
    documented = [name for names in re.findall(r"^    ([a-z_, ]+): ", arguments, re.MULTILINE) for name in names.split(", ")]
    assert sorted(documented) == sorted(parameters)


def test_config_holds_settings_and_where_they_came_from() -> None:
    assert {name for name in Config.__slots__ if name not in catalogue.SETTINGS} == {"origins", "validated"}


@pytest.mark.slow
def test_new_setting_is_a_field_and_a_parameter(tmp_path: Path) -> None:
    """In a copy of the package with one more field: files, options, messages, schema, marker and documentation know it."""
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(__file__).parents[2] / "docs" / "parts", tmp_path / "docs" / "parts")
    for file, before, more in (
        ("settings/config.py", "    origins: Mapping", FIELD),
        ("check/api.py", "    preset: str | None = None,\n", "    momentum: float | None = None,\n"),
    ):
        text = (copy / file).read_text()
        assert text.count(before) == 1
        (copy / file).write_text(text.replace(before, f"{more}{before}"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
