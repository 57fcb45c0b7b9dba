"""The lines `repeat:` and `accept:` are run as they were printed, and do what they say."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gradcheck_health import UnhealthyGradientsError, assert_gradients_healthy, check_gradients
from gradcheck_health.formats._text import quoted
from tests.support.command import Done, gradhealth

SICK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, depth=2, act="relu"):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(depth))
        self.aux = nn.Linear(3, 3)
        self.act = torch.sigmoid if act == "sigmoid" else torch.relu

    def forward(self, x):
        for layer in self.layers:
            x = self.act(layer(x))
        return x
"""
OPTIONS = (
    "--arg", "depth=12", "--arg", "act=sigmoid", "--input", "x=f32[B,8]", "--batch-size", "16", "--rounds", "2", "--seed", "3",
    "--set", "rules.vanishing-gradient.min_ratio=1e-3", "--dtype", "float64", "--timeout", "200", "--fail-on", "warning",
)  # fmt: skip
Pytest = Callable[[str], pytest.RunResult]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def words_of(line: str) -> list[str]:
    """What a shell makes of a line that a user pastes."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def execute(line: str) -> Done:
    program, *arguments = words_of(line)
    assert program == "gradhealth"
    return gradhealth(*arguments)


@pytest.fixture
def execute_pytest(
    pytester: pytest.Pytester, everything_imported: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Pytest:
    monkeypatch.chdir(folder)  # not where pytester is

    def call(line: str) -> pytest.RunResult:
        program, *arguments = words_of(line)
        assert program == "pytest"
        return pytester.runpytest_inprocess("-W", "default", *arguments)  # the filters of this run hold, too

    return call


def line(text: str, label: str) -> str:
    (found,) = re.findall(rf"^{label}: +(.*)$", text, re.MULTILINE)
    return str(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.py", "my netz_\xe41'.py"])
def test_check_is_repeated_with_every_option(folder: Path, name: str) -> None:
    (folder / name).write_text(SICK)
    first = execute(f"gradhealth check {quoted(name)} {' '.join(map(quoted, OPTIONS))}")
    assert first.returncode == 1, first.stderr
    again = execute(line(first.stdout, "repeat"))
    assert (again.stdout, again.returncode) == (first.stdout, 1)
    assert "vanishing-gradient" in again.stdout, "which it does not have with two layers and relu"


@pytest.mark.slow
def test_accepted_line_of_the_command_accepts_its_finding(folder: Path) -> None:
    (folder / "model.py").write_text(SICK)
    first = execute("gradhealth check model.py")
    assert first.returncode == 1
    accepted = execute(f"{line(first.stdout, 'repeat')} {line(first.stdout, 'accept')}")
    assert accepted.returncode == 0, accepted.stdout


@pytest.mark.slow
def test_accepted_line_of_a_baseline_updates_it_under_the_same_settings(folder: Path) -> None:
    (folder / "model.py").write_text(SICK.replace("self.aux = nn.Linear(3, 3)", "pass"))
    arguments = "model.py:Net --baseline=b.json --arg depth=3 --input 'x=f32[B,8]'"
    assert execute(f"gradhealth baseline write {arguments}").returncode == 0
    (folder / "model.py").write_text(SICK)
    worse = execute(f"gradhealth check {arguments} --fail-if flow:-1dec")
    assert worse.returncode == 1, worse.stdout
    update = execute(line(worse.stdout, "accept"))
    assert update.returncode == 0, update.stderr
    assert execute(line(worse.stdout, "repeat")).returncode == 0


@pytest.mark.slow
def test_report_in_json_knows_its_command(folder: Path) -> None:
    (folder / "model.py").write_text(SICK)
    execute("gradhealth check model.py --arg depth=3 -o out.json -q -j 1")
    (report,) = json.loads((folder / "out.json").read_text())["reports"]
    assert report["repeat"] == "gradhealth check model.py:Net --seed 0 --arg depth=3"


TEST = """
import pytest
from torch import nn
from model import Net

def test_built(gradhealth):
    gradhealth(Net(3), rounds=2)

@pytest.mark.parametrize("width", [1])
def test_named(gradhealth, width):
    gradhealth(Net, rounds=2)
"""


@pytest.mark.slow
def test_test_is_repeated_with_the_options_of_the_plugin_from_another_folder(
    folder: Path, execute_pytest: Pytest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tests").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = tests\naddopts = -p no:cacheprovider\n")
    (folder / "tests" / "model.py").write_text(SICK)
    (folder / "tests" / "test_net.py").write_text(TEST)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    first = execute_pytest(
        "pytest ../tests --gradhealth-select=missing-gradient --gradhealth-set rules.dead-unit.max_fraction=0.4"
    )
    repeats = re.findall(r"^repeat: +(.*)$", first.stdout.str(), re.MULTILINE)
    assert len(repeats) == 2, first.outlines
    for command in repeats:
        assert "--gradhealth-select=missing-gradient --gradhealth-set=rules.dead-unit.max_fraction=0.4" in command
        again = execute_pytest(command)
        assert "1 failed" in again.stdout.str(), again.outlines
        assert "missing-gradient" in again.stdout.str()


@pytest.mark.slow
def test_model_that_a_test_builds_is_the_same_in_every_run(folder: Path, execute_pytest: Pytest) -> None:
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -p no:randomly\n")
    (folder / "test_it.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def test_before(): torch.rand(5)\n"
        "def test_it(gradhealth):\n    net = nn.Linear(3, 3)\n    open('seen', 'a').write(f'{float(net.weight.sum())}\\n')\n"
        "    gradhealth(net)\n"
    )
    for arguments in ("test_it.py", "test_it.py::test_it", "test_it.py::test_it --gradhealth-seed 5"):
        assert execute_pytest(f"pytest {arguments}").ret == 0
    seen = (folder / "seen").read_text().split()
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.slow
def test_update_of_pytest_is_read_by_the_next_plain_run(folder: Path, execute_pytest: Pytest) -> None:
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = -p no:cacheprovider\n")
    (folder / "model.py").write_text(SICK)
    (folder / "test_net.py").write_text(TEST)
    first = execute_pytest("pytest")
    assert first.ret == 1
    (accept,) = re.findall(r"^accept: (pytest.*)$", first.stdout.str(), re.MULTILINE)
    assert execute_pytest(accept).ret == 0
    plain = execute_pytest("pytest")
    assert plain.ret == 0, plain.outlines


@pytest.mark.slow
def test_call_that_makes_a_report_again_can_be_evaluated() -> None:
    from torch import nn

    model = nn.Sequential(*(layer for _ in range(30) for layer in (nn.Linear(4, 4), nn.Sigmoid())))
    with pytest.raises(UnhealthyGradientsError) as caught:
        assert_gradients_healthy(model, "f32[8,4]", rounds=2, rules={"dead-unit": {"max_fraction": 0.3}}, seed=4)
    text = line(str(caught.value), "repeat")
    again = eval(text, {"check_gradients": check_gradients, "model": model})
    assert again.findings == caught.value.report.findings
