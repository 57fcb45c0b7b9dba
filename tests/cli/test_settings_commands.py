"""`gradhealth config`, `init`, `doctor` and `completion`, and the lines of TOML files that they tell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradcheck_health import cli, rules
from gradcheck_health.cli.workers import pool
from gradcheck_health.records.report import Failure
from gradcheck_health.rules import presets
from gradcheck_health.settings.catalogue import SETTINGS
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.config_files import nearest
from gradcheck_health.settings.resolution import load
from gradcheck_health.settings.toml_lines import key_lines
from tests.support.hostile import report

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOML = """\
[project]
name = "x"
description = '''
[tool.gradhealth]
seed = 9
'''
dependencies = [
  "a",  # [tool.gradhealth]
]

[tool.gradhealth]
seed = 3
"fail-on" = "warning"
models = [
  "net.py:Net",
]
rules.vanishing-gradient.min_ratio = 1e-3

[tool.gradhealth.ignore]
"missing-gradient:aux.*" = "x"

[[tool.gradhealth.overrides]]
models = ["net.py:Teacher"]
[tool.gradhealth.overrides.ignore]
"dead-unit" = "y"

[[tool.gradhealth.overrides]]
models = ["gone/*.py"]
seed = 7

[tool.other]
seed = 1
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return call


# ---- lines


def test_lines_of_a_toml_file() -> None:
    lines = key_lines(TOML, tomllib.loads, ("tool", "gradhealth"))
    assert lines == {
        ("seed",): 12,
        ("fail-on",): 13,
        ("models",): 14,
        ("rules", "vanishing-gradient", "min_ratio"): 17,
        ("rules", "vanishing-gradient"): 17,
        ("rules",): 17,
        ("ignore",): 19,
        ("ignore", "missing-gradient:aux.*"): 20,
        ("overrides", 0): 22,
        ("overrides", 0, "models"): 23,
        ("overrides", 0, "ignore"): 24,
        ("overrides", 0, "ignore", "dead-unit"): 25,
        ("overrides", 1): 27,
        ("overrides", 1, "models"): 28,
        ("overrides", 1, "seed"): 29,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment",
        "a = 1",
        'a."b.c".d = 1\n[x."y z"]\nk = {p = 1, q = {r = 2}}',
        'a = """\nb = 1\n"""\nc = [\n\n# x\n1,\n]\n',
        "[[a]]\n[[a.b]]\nc=1\n[[a.b]]\nc=2\n[[a]]\n[[a.b]]\nc=3",
        "\ufeff"[1:] + "a=1\r\nb=2\r\n",
    ],
)
def test_every_key_of_a_file_has_a_line_that_names_it(text: str) -> None:
    """The oracle is the parser of the standard library: the same keys, and each word stands on its line."""
    lines = key_lines(text, tomllib.loads)
    written = text.splitlines()

    def keys(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
        if isinstance(value, dict):
            return {(*path, key) for key in value}.union(*(keys(inner, (*path, key)) for key, inner in value.items()), set())
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return {(*path, i) for i in range(len(value))}.union(*(keys(inner, (*path, i)) for i, inner in enumerate(value)))
        return set()

    expected = {path for path in keys(tomllib.loads(text)) if isinstance(path[-1], str)}
    assert {path for path in lines if isinstance(path[-1], str)} <= expected
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert path[-1] in written[line - 1]
    leaves = {path for path in expected if not any(other[: len(path)] == path and other != path for other in expected)}
    assert leaves <= set(lines)


def test_origin_of_a_toml_setting_is_its_line(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(TOML)
    origins = load(names=["net.py:Teacher"], known_rules=None).origins
    assert origins["seed"] == "pyproject.toml:12"
    assert origins["rules.vanishing-gradient.min_ratio"] == "pyproject.toml:17"
    assert origins["ignore.dead-unit"] == "pyproject.toml:25"
    assert load(names=["gone/a.py:Net"], known_rules=None).origins["seed"] == "pyproject.toml:29"


# ---- config


def test_config_shows_every_setting_with_its_origin(run: Run, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(TOML)
    (folder / "net.py").write_text("")
    code, out, _ = run("config", "gone/a.py:Net", "--set", "rounds=2")
    assert code == 0
    rows = {line.split()[0]: line.split()[-1] for line in out.splitlines()[2:] if line}
    assert rows["seed"] == "pyproject.toml:29"
    assert rows["rounds"] == "--set"
    assert rows["ignore.missing-gradient:aux.*"] == "pyproject.toml:20"
    assert rows["device"] == "default"
    names = {name.replace("_", "-") for name in SETTINGS if name not in ("rules", "ignore")}
    assert names <= set(rows)
    assert "pyproject.toml:27: overrides: 'gone/*.py' names no file: remove it" in out
    assert "'net.py:Teacher' names no file" not in out
    assert "models: no file" not in out


def test_config_refuses_what_check_refuses(run: Run, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(TOML.replace("seed = 7", "sed = 7"))
    code, out, err = run("config")
    assert (code, out) == (2, "")
    assert "pyproject.toml:29: overrides[1].sed: no such setting (did you mean 'seed'?)" in err


def test_config_prints_the_schema(run: Run) -> None:
    assert json.loads(run("config", "--schema")[1])["title"] == "Settings of gradcheck_health"


# ---- init


def test_init_writes_settings_that_change_nothing_and_never_over_any(run: Run, folder: Path) -> None:
    assert run("init") == (0, "gradhealth.yaml: written, with every setting commented out\n", "")
    text = (folder / "gradhealth.yaml").read_text()
    assert load() == Config()
    for options in ((), ("--pyproject",)):
        code, _, err = run("init", *options)
        assert code == 2
        assert "settings are there already, in gradhealth.yaml" in err
    assert (folder / "gradhealth.yaml").read_text() == text
    assert not (folder / "pyproject.toml").exists()


def test_init_adds_a_table_to_pyproject(run: Run, folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[project]\nname = "x"')
    assert run("init", "--pyproject")[0] == 0
    assert tomllib.loads((folder / "pyproject.toml").read_text()) == {"project": {"name": "x"}, "tool": {"gradhealth": {}}}
    assert run("init")[0] == 2


@pytest.mark.parametrize("name", ["gradhealth.yaml", "pyproject.toml"])
def test_every_line_of_init_is_right_without_its_comment(run: Run, folder: Path, name: str) -> None:
    """Each setting, taken in by itself, is accepted."""
    run("init", *(["--pyproject"] if name == "pyproject.toml" else []))
    path = folder / name
    lines = path.read_text().splitlines()
    separator = " = " if name == "pyproject.toml" else ": "
    tried = 0
    for i, line in enumerate(lines):
        bare = line.removeprefix("# ")
        if line != bare and lines[i - 1].startswith("# ") and separator in bare and " " not in bare.partition(separator)[0]:
            path.write_text("\n".join([*lines[:i], bare, *lines[i + 1 :]]))
            load(known_rules={**presets.every(), **rules.builtin()})
            source = nearest(folder)
            assert source is not None
            assert list(source.table) == [bare.partition(separator)[0]]
            tried += 1
    assert tried >= 15


# ---- doctor and completion


def test_doctor_looks_at_everything_and_checks_a_model(run: Run) -> None:
    code, out, _ = run("doctor")
    assert code == 0, out
    looked_at = [line[9:28].strip() for line in out.splitlines()]
    assert {"python", "torch", "pytest", "pytest plugin", "settings", "temporary files", "a first check"} <= set(looked_at)
    assert "a linear layer is healthy" in out


def test_doctor_tells_a_problem_with_its_place(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gradhealth.yaml").write_text("seed: 1\nmodels: [gone.py]\n")
    monkeypatch.setattr(pool, "check", lambda *_: iter([report()]))
    code, out, _ = run("doctor")
    assert code == 2
    assert "problem  settings           gradhealth.yaml:2: models: no file gone.py" in out
    (folder / "gradhealth.yaml").write_text("seed: x\n")
    monkeypatch.setattr(pool, "check", lambda *_: iter([Failure("x", "torch cannot be imported", 3)]))
    code, out, _ = run("doctor")
    assert code == 2
    assert "problem  settings           gradhealth.yaml:1: seed: got 'x'" in out
    assert "problem  a first check      torch cannot be imported" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(run: Run, shell: str) -> None:
    code, out, _ = run("completion", shell)
    assert code == 0
    assert f"_GRADHEALTH_COMPLETE={shell}_complete" in out
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=out, text=True, check=True)


def test_completion_completes(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_GRADHEALTH_COMPLETE", "bash_complete"), ("COMP_WORDS", "gradhealth do"), ("COMP_CWORD", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        cli.main([])
    assert "plain,doctor" in capfd.readouterr().out
