"""The story of examples/story is true: every exit code is checked by the script itself, every place by these tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradcheck_health.baseline import files

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "story" / "run.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the story was told; `told.txt` holds what it printed."""
    folder = tmp_path_factory.mktemp("story")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, SCRIPT, folder / "repository"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "told.txt").write_text(done.stdout)
    return folder


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder / "repository", capture_output=True, text=True, check=True).stdout


def line_of(text: str, folder: Path, message: str) -> int:
    """The line of a text in the model as it was at the commit of that message."""
    model = git(folder, "show", git(folder, "log", "--format=%H", "--fixed-strings", f"--grep={message}").strip() + ":net.py")
    return next(i for i, line in enumerate(model.splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    ("name", "rule", "fault", "message"),
    [
        ("sigmoid", "vanishing-gradient", "nn.Sigmoid()", "smoother: Sigmoid instead of ReLU"),
        ("detached", "cut-gradient", ".detach()", "faster: no gradient for the side branch"),
    ],
)
def test_fault_is_reported_at_its_line_in_every_format(folder: Path, name: str, rule: str, fault: str, message: str) -> None:
    line = line_of(fault, folder, message)
    made = folder / "repository"
    chapter = (folder / "told.txt").read_text().partition(f"--- {message}\n")[2].partition("\n--- ")[0]
    assert f"error: {rule}: " in chapter
    assert f"net.py:{line}" in chapter
    annotation = (made / f"{name}.github.txt").read_text()
    assert annotation.startswith(f"::error file=net.py,line={line},title={rule} in net.py")
    (run,) = json.loads((made / f"{name}.sarif").read_text())["runs"]
    errors = [result for result in run["results"] if result["level"] == "error" and not result.get("suppressions")]
    assert [result["ruleId"] for result in errors] == [rule]
    assert errors[0]["baselineState"] == "new"
    physical = errors[0]["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "net.py"
    assert physical["region"]["startLine"] == line
    (report,) = json.loads((made / f"{name}.json").read_text())["reports"]
    assert not report["ok"]
    assert any(shift["fails"] for shift in report["change"]["shifts"])


def test_fixed_finding_is_pruned(folder: Path) -> None:
    told = (folder / "told.txt").read_text()
    assert "gone: cut-gradient:side.weight: the side branch is trained elsewhere" in told
    path = files.path_for(folder / "repository" / ".gradhealth", "net.py:Net")
    assert files.read(path).accepted == {}
    history = git(folder, "log", "-p", "--format=", "--", ".gradhealth")
    assert '+ "cut-gradient:side.weight": "the side branch is trained elsewhere"' in history
    assert '- "cut-gradient:side.weight": "the side branch is trained elsewhere"' in history


def test_unchanged_source_is_not_checked_again(folder: Path) -> None:
    assert "skipped: net.py:Net: unchanged since HEAD (1 file)" in (folder / "told.txt").read_text()
