"""Every fault, through the command, between sound models: the right code, one JSON document, no result lost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import gradcheck_health
from gradcheck_health import cli
from gradcheck_health.formats import _schema
from tests.cli.faults import at_import, hidden, in_model, of_process, of_target
from tests.cli.faults.fault import SOUND, Fault

FAULTS = {**at_import.FAULTS, **in_model.FAULTS, **of_process.FAULTS, **of_target.FAULTS}
QUICK = {name: fault for name, fault in FAULTS.items() if not fault.hangs and not fault.alone}
GROUPS = sorted({(fault.code, fault.options) for fault in QUICK.values()})
_PACKAGE = re.escape(str(Path(gradcheck_health.__file__).parent))
OUR_OWN = re.compile(rf'File "{_PACKAGE}|{_PACKAGE}\S*:\d+: \w*Warning')
DOCUMENT = jsonschema.Draft202012Validator(_schema.schema())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("before.py", "after.py"):
        (tmp_path / name).write_text(SOUND)
    return tmp_path


def lay(folder: Path, fault: Fault) -> str:
    """Put it into the folder; its target."""
    folder.mkdir(exist_ok=True)
    for file, text in {"fault.py": fault.text, **fault.files}.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    if fault.lay is not None:
        fault.lay(folder)
    return fault.target


def run(capfd: pytest.CaptureFixture[str], targets: Sequence[str], *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the document, standard error."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", "--output-format", "json", *options, "--", *targets])
    out, err = capfd.readouterr()

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    document = json.loads(out, parse_constant=refuse)
    DOCUMENT.validate(document)
    assert document["exit_code"] == caught.value.code
    assert not OUR_OWN.search(err), "a traceback or a warning of our own"
    return int(caught.value.code or 0), document, err


def together(
    folder: Path, capfd: pytest.CaptureFixture[str], faults: Mapping[str, Fault], *options: str
) -> tuple[int, dict[str, list[str]], dict[str, list[tuple[int, str]]]]:
    """All of them in one command, each in a folder of its own, between two sound models.

    Returns:
        The exit code; and by the name of each fault the targets that were checked, and the codes and messages of those that
        were not. The sound models were checked.
    """
    places = {f"{i}": name for i, name in enumerate(faults)}
    targets = [f"{place}/{lay(folder / place, faults[name])}" for place, name in places.items()]
    code, document, _ = run(capfd, ["before.py", *targets, "after.py"], *options)
    checked = [report["target"] for report in document["reports"]]
    assert (checked[0], checked[-1]) == ("before.py:Net", "after.py:Net")
    reports: dict[str, list[str]] = {name: [] for name in faults}
    failures: dict[str, list[tuple[int, str]]] = {name: [] for name in faults}
    for target in checked[1:-1]:
        reports[places[target.partition("/")[0]]].append(target)
    for failure in document["failures"]:
        failures[places[failure["target"].partition("/")[0]]].append((failure["exit_code"], failure["message"]))
    return code, reports, failures


def test_there_are_enough() -> None:
    assert len(FAULTS) >= 60


@pytest.mark.slow
def test_what_tries_to_look_sound_is_found(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """None of them is green: the report of each, and no other, holds a finding that fails."""
    places = {f"{i}/{lay(folder / str(i), fault)}": name for i, (name, fault) in enumerate(hidden.FAULTS.items())}
    code, document, _ = run(capfd, ["before.py", *places, "after.py"], "--timeout", "120")
    assert (code, [failure["message"] for failure in document["failures"]]) == (1, [])
    healthy = [report["target"] for report in document["reports"] if report["ok"]]
    assert healthy == ["before.py:Net", "after.py:Net"]
    assert len(document["reports"]) == len(hidden.FAULTS) + 2


@pytest.mark.slow
@pytest.mark.parametrize(("code", "options"), GROUPS)
def test_fault_is_reported_and_takes_nothing_with_it(
    code: int, options: tuple[str, ...], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Those with the same code are one run, so that its code is that of each."""
    faults = {name: fault for name, fault in QUICK.items() if (fault.code, fault.options) == (code, options)}
    found, reports, failures = together(folder, capfd, faults, "--timeout", "60", *options)
    wrong = {}
    for name, fault in faults.items():
        messages = [message for _, message in failures[name]]
        told = code < 2 or (
            {one for one, _ in failures[name]} == {code} and fault.words in messages[0] and len(messages[0]) < 4000
        )
        if not told or (code < 2 and messages) or len(reports[name]) != fault.checked:
            wrong[name] = (reports[name], failures[name])
    assert wrong == {}
    assert found == code


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.alone])
def test_wrong_target_is_reported_and_where_it_can_be_before_anything_is_run(
    name: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = lay(folder, FAULTS[name])
    code, document, err = run(capfd, ["before.py", target, "after.py"])
    assert (code, len(document["reports"])) == (2, 0 if FAULTS[name].at_once else 2)
    assert FAULTS[name].words in document["failures"][0]["message"]
    assert FAULTS[name].words in " ".join(err.split())


@pytest.mark.slow
def test_faults_that_hang_are_stopped_and_say_where(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """All at once, because each takes its time."""
    faults = {name: fault for name, fault in FAULTS.items() if fault.hangs}
    code, reports, failures = together(folder, capfd, faults, "--timeout", "8", "--jobs", str(len(faults) + 2))
    assert code == 4
    assert not any(reports.values())
    wrong = {
        name: told for name, told in failures.items() if [one for one, _ in told] != [4] or faults[name].words not in told[0][1]
    }
    assert wrong == {}
