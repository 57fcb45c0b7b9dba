"""The examples of training loops run, and each notices that its learning rate is far too small."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "training"
NEEDS = {
    "plain_loop": "torch",
    "lightning_trainer": "lightning",
    "hugging_face_trainer": "accelerate",
    "keras_fit": "keras",
}

PROGRAM = """
import runpy, sys
from tests.zoo.torchvision_ops import declare_torchvision_ops
declare_torchvision_ops()
runpy.run_path(sys.argv[1], run_name="__main__")
"""
"""Lightning and transformers import torchvision, whose compiled part may not fit."""


def test_every_example_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NEEDS)


@pytest.mark.slow
@pytest.mark.zoo
@pytest.mark.parametrize("name", NEEDS)
def test_example_notices(name: str, tmp_path: Path) -> None:
    if find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parents[1])}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(FOLDER / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {"tiny-update", "ineffective-step"} & set(done.stdout.splitlines())
