"""The files for CI services are what the services take, and the action runs what it was told."""

from __future__ import annotations

import json
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from jsonschema.validators import validator_for

from gradcheck_health import cli
from gradcheck_health.cli.check import check

ROOT = Path(__file__).parents[2]
VENDORED = files("check_jsonschema") / "builtin_schemas" / "vendor"
FILES = {
    "action.yml": "github-actions",
    "examples/ci/github.yml": "github-workflows",
    "examples/ci/gitlab-ci.yml": "gitlab-ci",
}


def document(path: str) -> Any:
    # BaseLoader: `on` is a word and not true
    return yaml.load((ROOT / path).read_text(), Loader=yaml.BaseLoader)


def refusals(path: str, read: Any) -> list[str]:
    schema = json.loads((VENDORED / f"{FILES[path]}.json").read_text())
    return [error.message for error in validator_for(schema)(schema).iter_errors(read)]


@pytest.mark.parametrize("path", FILES)
def test_file_is_what_the_service_takes(path: str) -> None:
    read = yaml.safe_load((ROOT / path).read_text())
    read = {"on" if key is True else key: value for key, value in read.items()}
    assert refusals(path, read) == []


@pytest.mark.parametrize(
    ("path", "spoil"),
    [
        ("action.yml", lambda d: d["runs"].pop("using")),
        ("action.yml", lambda d: d["runs"]["steps"][0].pop("shell")),
        ("action.yml", lambda d: d.pop("name")),
        ("examples/ci/github.yml", lambda d: d["jobs"]["check"].pop("runs-on")),
        ("examples/ci/github.yml", lambda d: d["jobs"]["check"].update(step=[])),
        ("examples/ci/gitlab-ci.yml", lambda d: d["gradient health"]["artifacts"].update(when="sometimes")),
        ("examples/ci/gitlab-ci.yml", lambda d: d["gradient health"].update(script=3)),
    ],
)
def test_spoiled_file_is_refused(path: str, spoil: Any) -> None:
    read = document(path)
    spoil(read)
    assert refusals(path, read) != []


# ---- the action


@pytest.fixture
def action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the script of the action with a `gradhealth` that writes down its arguments and ends with 1."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "gradhealth"
    fake.write_text('#!/bin/bash\nprintf "%s\\n" "$@" > arguments\ntouch out.sarif\nexit "${FAKE_CODE:-1}"\n')
    fake.chmod(0o755)
    (step,) = document("action.yml")["runs"]["steps"]

    def run(path: str = f"{tmp_path}/bin:/usr/bin:/bin", **inputs: str) -> tuple[int, list[str], str, str]:
        (tmp_path / "output").write_text("")
        names = {"targets": "", "options": "", "sarif": "out.sarif", "working-directory": ".", **inputs}
        environment = {"PATH": path, "GITHUB_OUTPUT": str(tmp_path / "output")}
        for variable, expression in step["env"].items():
            environment[variable] = names[expression.removeprefix("${{ inputs.").removesuffix(" }}")]
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]  # as the runner calls it
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        arguments = tmp_path / "arguments"
        given = arguments.read_text().splitlines() if arguments.exists() else []
        return done.returncode, given, (tmp_path / "output").read_text(), done.stdout

    return run


def test_action_hands_over_each_line_as_one_argument(action: Any) -> None:
    code, given, output, _ = action(targets="models/\n\nmy nets/a.py:Net\n", options="--fail-on=warning\n--seed=3")
    assert given == ["check", "--fail-on=warning", "--seed=3", "-o", "out.sarif", "--", "models/", "my nets/a.py:Net"]
    assert code == 1, "the exit code is that of the check"
    assert output == "sarif=./out.sarif\n", "and the file is told all the same"


def test_action_runs_no_code_from_its_inputs(action: Any, tmp_path: Path) -> None:
    attack = "$(touch owned) `touch owned`; touch owned #.py\n--help"
    _, given, _, _ = action(targets=attack, options="", sarif="")
    assert given == ["check", "--", *attack.splitlines()]
    assert not (tmp_path / "owned").exists()


def test_action_says_what_is_missing(action: Any) -> None:
    code, given, _, out = action(path="/usr/bin:/bin")
    assert (code, given) == (2, [])
    assert out.startswith("::error title=gradhealth::the command gradhealth is not there")


def test_action_puts_no_input_into_its_script() -> None:
    for step in document("action.yml")["runs"]["steps"]:
        assert "${{" not in step["run"]


# ---- pre-commit, by the table of its documentation

HOOK = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["id", "name", "entry", "language"],
        "additionalProperties": False,
        "properties": {
            **{key: {"type": "string"} for key in ("id", "name", "entry", "description", "files", "exclude")},
            **{key: {"type": "boolean"} for key in ("pass_filenames", "always_run", "require_serial", "verbose")},
            **{key: {"type": "array", "items": {"type": "string"}} for key in ("types", "types_or", "args")},
            "language": {"enum": ["system", "python"]},
            "stages": {"type": "array", "items": {"enum": ["pre-commit", "pre-push", "commit-msg", "manual"]}},
        },
    },
}


def test_hook_is_one_that_pre_commit_takes_and_its_command_exists() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    jsonschema.Draft202012Validator(HOOK).validate(hooks)
    (hook,) = hooks
    assert (hook["language"], hook["stages"]) == ("system", ["pre-push"])
    command, sub = hook["entry"].split()
    assert command == "gradhealth"
    assert cli.cli.get_command(None, sub) is check
    for spoiled in ({**hook, "stages": ["push-pre"]}, {**hook, "pass_filename": False}, {"id": "x"}):
        assert not jsonschema.Draft202012Validator(HOOK).is_valid([spoiled])


def test_examples_use_formats_that_exist() -> None:
    from gradcheck_health import formats

    for path in ("examples/ci/github.yml", "examples/ci/gitlab-ci.yml"):
        text = (ROOT / path).read_text()
        for part in text.split(" -o ")[1:]:
            formats.find(part.split()[0])
