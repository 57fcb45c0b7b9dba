"""A project that is configured by Hydra, with the real library."""

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
import hydra
from hydra import compose, initialize
from hydra.utils import instantiate
from omegaconf import DictConfig

def build(cfg: DictConfig):
    assert isinstance(cfg, DictConfig)
    return instantiate(cfg.model)

def composed():
    with initialize(version_base=None, config_path="conf"):
        return instantiate(compose("config").model)

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    raise SystemExit("trained")

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    pytest.importorskip("hydra")
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
def test_a_model_of_a_configuration_is_built_as_hydra_builds_it(project: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "gradcheck_health", "check", *words]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 trainable parameters" in done.stdout and "float32[32, 24]" in done.stdout
