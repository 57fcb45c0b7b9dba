"""A project that is configured as with Hydra, with the real OmegaConf: groups in files, and `_target_` for what is built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.zoo

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[part for _ in range(depth) for part in (nn.Linear(width, width), nn.ReLU())])

    def forward(self, x):
        return self.layers(x)
"""
GROUP = "_target_: net.Net\nwidth: 24\ndepth: 3\n"
TRAIN = """
from importlib import import_module
from omegaconf import DictConfig, OmegaConf

def instantiate(cfg: DictConfig):
    module, _, name = cfg["_target_"].rpartition(".")
    return getattr(import_module(module), name)(**{key: value for key, value in cfg.items() if key != "_target_"})

def build(cfg: DictConfig):
    assert isinstance(cfg, DictConfig) and isinstance(cfg.model, DictConfig)
    return instantiate(cfg.model)

def composed():
    return instantiate(OmegaConf.load("conf/model/mlp.yaml"))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    pytest.importorskip("omegaconf")
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("defaults: [{model: mlp}, _self_]\nlr: 0.001\n")
    (tmp_path / "conf" / "model" / "mlp.yaml").write_text(GROUP)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("train.py:composed",),
        ("train.py:build", "--arg", "cfg.model=@conf/model/mlp.yaml"),
        ("train.py:build", "--arg", "cfg.model._target_=net.Net", "--arg", "cfg.model.width=24", "--arg", "cfg.model.depth=3"),
    ],
)
def test_a_model_of_a_configuration_is_built_from_its_groups(project: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "gradcheck_health", "check", *words]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 trainable parameters" in done.stdout and "float32[32, 24]" in done.stdout
