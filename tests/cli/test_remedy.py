"""`gradhealth remedy`: what helps with the change to make, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import gradhealth

FILE = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(*[m for _ in range(10) for m in (nn.Linear(16, 16), nn.Sigmoid())], nn.Linear(16, 3))

class Sound(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(FILE)
    return tmp_path


@pytest.mark.slow
def test_list_names_the_change_and_what_did_not_help(folder: Path) -> None:
    done = gradhealth("remedy", "net.py:Net", "--only", "selu-and-lecun,he-init", "--steps", "3", folder=folder)
    text = " ".join(done.stdout.split())
    assert done.returncode == 1, done.stderr
    assert "vanishing-gradient: 1 of 2 cures help" in text and "change F.selu for sigmoid" in text
    assert "at net.py:6" in text and "no help: he-init (" in text and "3 steps of adam" in text
    assert "repeat: gradhealth remedy net.py:Net --seed 0 --steps 3 --only selu-and-lecun,he-init" in text


@pytest.mark.slow
def test_sound_model_has_nothing_to_cure(folder: Path) -> None:
    done = gradhealth("remedy", "net.py:Sound", folder=folder)
    assert done.returncode == 0 and "nothing sick: no cure was tried" in done.stdout


@pytest.mark.slow
def test_unknown_cure_is_refused_in_one_line(folder: Path) -> None:
    done = gradhealth("remedy", "net.py:Net", "--only", "layer-nom", folder=folder)
    assert done.returncode == 2 and "no remedy is called 'layer-nom' (did you mean 'layer-norm'?)" in done.stderr
