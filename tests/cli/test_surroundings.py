"""Every command in bad surroundings: one message, a code of the closed set, and never a traceback of this program."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import gradcheck_health
from gradcheck_health import cli
from tests.cli.faults.fault import SOUND
from tests.support.hostile import finding, report

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "rules": ("rules",),
    "explain": ("explain", "vanishing-gradient"),
    "config": ("config",),
    "report": ("report", "run.json"),
    "diff": ("diff", "run.json", "run.json"),
    "init": ("init",),
    "check": ("check", "model.py"),
    "html": ("check", "netz_\xe4.py", "--output-format", "html"),
    "infer": ("infer", "model.py", "--save", "saved.yaml"),
    "baseline": ("baseline", "write", "model.py"),
    "remedy": ("remedy", "model.py"),
    "scale": ("scale", "model.py", "--depth", "2,4"),
    "doctor": ("doctor",),
    "completion": ("completion", "bash"),
}
QUICK = ("rules", "config", "report")
HEAVY = ("html", "infer", "baseline", "remedy", "scale", "doctor")
"""They import torch, as check does, which takes seconds."""


@dataclass(frozen=True)
class Surroundings:
    """What is done before the command runs."""

    shell: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    lay: Callable[[Path], object] = lambda folder: None
    begin: Callable[[], None] | None = None


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def _at_start(code: str) -> Callable[[Path], object]:
    """What no limit of the shell does to an administrator is done by Python itself, in every process."""

    def lay(folder: Path) -> None:
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(code)

    return lay


NO_PROCESS = """
import _posixsubprocess, os, subprocess
def refuse(*_):
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = os.posix_spawn = _posixsubprocess.fork_exec = subprocess._fork_exec = refuse
"""


def _unreadable(folder: Path) -> None:
    for number in (0, 1):
        (folder / f"locked_{number}.py").write_text(SOUND)
    (folder / "locked").mkdir()
    (folder / "locked" / "model.py").write_text(SOUND)
    for name in ("locked", "locked_0.py", "pyproject.toml"):
        (folder / name).touch()
        (folder / name).chmod(0)


def _as_anyone() -> None:
    """An administrator may read everything: what is started from here may not."""
    for capability in (1, 2):  # PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability)


SURROUNDINGS = {
    "an ASCII stream": Surroundings(variables={"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}),
    "a Latin-1 stream": Surroundings(variables={"PYTHONIOENCODING": "latin-1"}),
    "a terminal without a size": Surroundings(variables={"COLUMNS": "abc", "LINES": "-1", "TERM": ""}),
    "colours in ASCII": Surroundings(variables={"FORCE_COLOR": "1", "PYTHONIOENCODING": "ascii"}),
    "no home": Surroundings(variables={"HOME": "/nowhere", "TMPDIR": "/nowhere"}),
    "a summary that cannot be written": Surroundings(
        variables={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/nowhere/summary"}
    ),
    "a summary that is a pipe": Surroundings(
        variables={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary"},
        lay=lambda folder: os.mkfifo(folder / "summary"),
    ),
    "no path": Surroundings(variables={"PATH": ""}),
    "a locale that does not exist": Surroundings(variables={"LC_ALL": "xx_YY.UTF-8", "LANG": "zz"}),
    "warnings as errors": Surroundings(variables={"PYTHONWARNINGS": "error"}),
    "Python without docstrings": Surroundings(variables={"PYTHONOPTIMIZE": "2"}),
    "files that nobody may read": Surroundings("umask 777"),
    "no more processes": Surroundings(lay=_at_start(NO_PROCESS)),
    "what may not be read": Surroundings(lay=_unreadable, begin=_as_anyone),
    "a stack of 256 KiB": Surroundings("ulimit -s 256"),
    "a reader that is gone": Surroundings("exec > >(:)"),
    "closed standard output": Surroundings("exec >&-"),
    "closed standard error": Surroundings("exec 2>&-"),
    "all closed": Surroundings("exec <&- >&- 2>&-"),
    "a full disk behind standard output": Surroundings("exec >/dev/full"),
    "a full disk behind standard error": Surroundings("exec 2>/dev/full"),
    "no working directory": Surroundings("mkdir gone; cd gone; rmdir ../gone"),
    "ten descriptors": Surroundings("ulimit -n 10"),
    "files of no size": Surroundings("ulimit -f 0"),
    "signals that are ignored": Surroundings("trap '' INT HUP TERM"),
    "a pipe for settings": Surroundings(lay=lambda folder: os.mkfifo(folder / "gradhealth.yaml")),
    "a pipe for pyproject.toml": Surroundings(lay=lambda folder: os.mkfifo(folder / "pyproject.toml")),
    "a terabyte of settings": Surroundings(lay=lambda folder: _sparse(folder / "pyproject.toml")),
    "a device for settings": Surroundings(lay=lambda folder: (folder / "gradhealth.yaml").symlink_to("/dev/zero")),
    "a folder for settings": Surroundings(lay=lambda folder: (folder / "pyproject.toml").mkdir()),
    "settings that lead to themselves": Surroundings(
        lay=lambda folder: (folder / "gradhealth.yaml").symlink_to("gradhealth.yaml")
    ),
    "settings of bytes": Surroundings(
        lay=lambda folder: (folder / "pyproject.toml").write_bytes(b'[tool.gradhealth]\nseed = "\xff"')
    ),
    "settings in a conflict": Surroundings(
        lay=lambda folder: (folder / "gradhealth.yaml").write_text("<<<<<<< a\nseed: 1\n=======\nseed: 2\n>>>>>>> b\n")
    ),
    "a file for baselines": Surroundings(lay=lambda folder: (folder / ".gradhealth").write_text("x")),
}


def run(folder: Path, surroundings: Surroundings, command: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
    folder.mkdir()
    (folder / "model.py").write_text(SOUND)
    (folder / "netz_\xe4.py").write_text(SOUND.replace("class Net", "class N\xe4tz"))
    (folder / "run.json").write_text(report(finding()).to_json())
    surroundings.lay(folder)
    root = str(Path(gradcheck_health.__file__).parents[1])
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB", "CI"))}
    variables = {**plain, "PYTHONPATH": f"{root}:{folder / 'site'}", "OMP_NUM_THREADS": "1", **surroundings.variables}
    words = [
        "/bin/bash",
        "-c",
        f'{surroundings.shell or ":"}; exec "$@"',
        "x",
        sys.executable,
        "-P",
        "-m",
        "gradcheck_health",
        *command,
    ]
    return subprocess.run(
        words, cwd=folder, capture_output=True, env=variables, check=False, timeout=120, preexec_fn=surroundings.begin
    )


def wrong(tmp_path: Path, name: str, commands: tuple[str, ...]) -> dict[str, tuple[int, str]]:
    """What went wrong, by command."""
    found = {}
    for command in commands:
        done = run(tmp_path / command, SURROUNDINGS[name], COMMANDS[command])
        text = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode not in (0, 1, 2, 3, 4, 141) or "Traceback" in text or "internal error" in text:
            found[command] = (done.returncode, text[-600:])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["an ASCII stream", "no working directory", "a pipe for settings", "ten descriptors"])
def test_commands_in_bad_surroundings_end_with_a_message(tmp_path: Path, name: str) -> None:
    assert wrong(tmp_path, name, QUICK) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_commands_in_every_surroundings(tmp_path: Path, name: str) -> None:
    """Each in all of them; of those that import torch as check does, another one in each."""
    other = HEAVY[list(SURROUNDINGS).index(name) % len(HEAVY)]
    assert wrong(tmp_path, name, (*(command for command in COMMANDS if command not in HEAVY), other)) == {}


def test_table_has_every_command() -> None:
    assert {words[0] for words in COMMANDS.values()} == set(cli.cli.list_commands(None))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["locked", "locked_0.py", "pyproject.toml"])
def test_what_may_not_be_read_is_not_green(tmp_path: Path, name: str) -> None:
    def lay(folder: Path) -> None:
        _unreadable(folder)
        for other in {"locked", "locked_0.py", "pyproject.toml"} - {name}:
            (folder / other).chmod(0o755)

    done = run(tmp_path / "x", Surroundings(lay=lay, begin=_as_anyone), ("check", "."))
    text = (done.stdout + done.stderr).decode()
    assert done.returncode in (2, 3), text
    assert name in done.stderr.decode()


@pytest.mark.slow
def test_document_on_an_ascii_stream_is_utf8(tmp_path: Path) -> None:
    done = run(tmp_path / "x", SURROUNDINGS["an ASCII stream"], COMMANDS["html"])
    assert done.returncode == 0
    assert "N\xe4tz" in done.stdout.decode("utf-8")


def test_fault_of_ours_is_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gradcheck_health.cli.commands import check

    def broken(*_: object) -> int:
        raise KeyError("surely a mistake")

    monkeypatch.setattr(check, "run", broken)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", "model.py"])
    err = capsys.readouterr().err
    assert caught.value.code == 3
    assert err.startswith("internal error of gradhealth ")
    assert "KeyError: 'surely a mistake'" in err
    assert "Traceback" not in err
