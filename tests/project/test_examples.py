"""The examples run and do what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gradcheck_health
from tests.support.command import Done, gradhealth

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(gradcheck_health.__file__).parents[1]),
        "NO_COLOR": "1",
        "COLUMNS": "80",
    }
    for name in ("CI", "GITHUB_ACTIONS", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        environment.pop(name, None)
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


def check(*arguments: str) -> Done:
    return gradhealth("check", *arguments, folder=ROOT)


def test_sound_model_passes() -> None:
    done = check("examples/sound.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no unhealthy gradient found" in done.stdout


def test_sick_model_fails_with_both_faults() -> None:
    done = check("examples/sick.py", "--output-format", "json")
    assert done.returncode == 1, done.stdout + done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    errors = {finding["rule"]: finding for finding in report["findings"] if finding["severity"] == "error"}
    assert errors.keys() == {"vanishing-gradient", "missing-gradient"}
    assert {place["name"] for place in errors["missing-gradient"]["places"]} == {"aux.weight", "aux.bias"}


@pytest.mark.parametrize(("factory", "found"), [("standard", ["width-unstable"]), ("mup", [])])
def test_sweep_tells_the_two_parametrisations(factory: str, found: list[str]) -> None:
    sizes = ("--width", "32,64,128,256", "--rounds", "4", "--select", "width-unstable")
    done = gradhealth("scale", f"examples/scaling.py:{factory}", *sizes, "--output-format", "json", folder=ROOT)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert [finding["rule"] for finding in report["findings"]] == found


def test_sick_script_ends_with_the_message() -> None:
    done = run("examples/sick.py")
    assert done.returncode == 1
    assert "UnhealthyGradientsError: " in done.stderr
    assert "vanishing-gradient" in done.stderr


def test_test_file_passes(tmp_path: Path) -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "test_model.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


def test_custom_rule() -> None:
    import torch

    sys.path.insert(0, str(EXAMPLES))
    try:
        from custom_rule import loud_activation
    finally:
        sys.path.remove(str(EXAMPLES))
    loud = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    with torch.no_grad():
        loud[0].weight.mul_(1e4)
    report = gradcheck_health.check_gradients(loud, extra_rules=[loud_activation], select=["loud-activation"])
    assert {finding.rule for finding in report.findings} == {"loud-activation"}
    assert {place.name for finding in report.findings for place in finding.places} >= {"0", "1"}
    allowed = {"loud-activation": {"max_rms": 1e6}}
    report = gradcheck_health.check_gradients(loud, extra_rules=[loud_activation], select=["loud-activation"], rules=allowed)
    assert report.findings == ()


@pytest.mark.parametrize("file", ["gradhealth.yaml", "pyproject.toml"])
def test_settings_accept_the_missing_gradient(file: str) -> None:
    settings = EXAMPLES / "settings" / file
    done = check("examples/sick.py", "--config", str(settings), "--output-format", "json")
    assert done.returncode == 1, done.stdout + done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    suppressed = {finding["rule"]: finding["suppressed"] for finding in report["findings"] if finding["severity"] == "error"}
    assert suppressed == {"vanishing-gradient": None, "missing-gradient": "the auxiliary head is trained in another script"}
    assert report["seed"] == 3
