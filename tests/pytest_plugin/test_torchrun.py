"""pytest under torchrun: the ranks agree on every verdict, and one of them shows and writes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.support.ranks import torchrun

pytestmark = pytest.mark.slow

MODELS = """
from torch import nn
from torch.nn.parallel import DistributedDataParallel

def net(act, depth):
    layers = [layer for _ in range(depth) for layer in (nn.Linear(16, 16), act())]
    return nn.Sequential(*layers, nn.Linear(16, 4))

def sound():
    return DistributedDataParallel(net(nn.ReLU, 3))

def sick():
    return DistributedDataParallel(net(nn.Sigmoid, 16))
"""
CONFTEST = """
import os
import pytest
import torch.distributed as dist
from gradcheck_health.baseline import files

update = files.update

def noted(path, change):
    with open("writers.txt", "a") as file:
        file.write(os.environ["RANK"])
    return update(path, change)

files.update = noted

@pytest.fixture(scope="session")
def group():
    dist.init_process_group("gloo")
    yield
    dist.destroy_process_group()
"""
TESTS = """
import pytest
from gradcheck_health import UsageError, assert_gradients_healthy, check_gradients
from models import sick, sound

def test_sound(group):
    assert_gradients_healthy(sound())

def test_sick(group):
    assert_gradients_healthy(sick())

def test_accepted(group, gradhealth):
    gradhealth(sick())

def test_fork(group):
    with pytest.raises(UsageError, match="a forked copy is no member of the process group"):
        check_gradients(sound, isolation="fork")
"""
FILES = {
    "models.py": MODELS, "conftest.py": CONFTEST, "test_models.py": TESTS, "gradhealth.yaml": "models: [models.py:sound]\n"
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One launch for all tests of this file: (its folder, the exit code, the output of each rank)."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    options = ["--gradhealth-update", "--gradhealth-report", "out.json", "--junitxml", "out.xml"]
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("CI", raising=False)
        code, texts = torchrun(["pytest", "-q", "gradhealth.yaml", "test_models.py", *options], folder)
    return folder, code, texts


def test_ranks_end_alike(run: Any) -> None:
    _, code, texts = run
    assert code == 1
    for text in texts:
        assert "1 failed, 4 passed" in text, text
        assert "FAILED test_models.py::test_sick" in text


def test_first_rank_shows_the_report(run: Any) -> None:
    _, _, (first, second) = run
    assert "error: vanishing-gradient: the gradient shrinks" in first
    assert "= gradient health =" in first
    assert "accept: torchrun --nproc-per-node 2 -m pytest" in first or "2 checked: 2 healthy" in first
    assert "vanishing-gradient in Sequential (1 error): the report is that of rank 0" in second
    assert "the gradient shrinks" not in second and "gradient health =" not in second


def test_first_rank_writes_the_files(run: Any) -> None:
    folder, _, _ = run
    assert (folder / "writers.txt").read_text() == "00"
    assert len(list(Path(folder, ".gradhealth").glob("*.json"))) == 2
    (suite,) = ET.parse(folder / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("5", "1")
    assert (folder / "out.json").exists()
