"""Constructors whose arguments nobody gives: models are built as people would build them, run, and the report says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import gradcheck_health
from gradcheck_health.check.prepare import runs
from gradcheck_health.records.errors import UsageError
from gradcheck_health.targets.arguments.candidates import Filling
from gradcheck_health.targets.arguments.complete import complete
from gradcheck_health.targets.arguments.small_configs import tiny
from gradcheck_health.targets.arguments.vocabulary import LISTS, WHOLE, WORDS, matching
from gradcheck_health.targets.load import load
from tests.inputs import constructors

CLASSES = {
    name: found for name, found in vars(constructors).items()
    if isinstance(found, type) and issubclass(found, nn.Module) and found.__module__ == constructors.__name__
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_constructor_is_completed_so_that_the_model_runs(name: str) -> None:
    (loaded,) = load(f"{constructors.__name__}:{name}", {}, runs)
    assert loaded.made_up and isinstance(loaded.model(), nn.Module)
    assert runs(loaded.model())


@pytest.mark.slow
def test_completion_is_the_same_every_time() -> None:
    first, again = (
        [dict(load(f"{constructors.__name__}:{name}", {}, runs)[0].made_up) for name in ("ResNet", "ViT", "GroupedConv")]
        for _ in range(2)
    )
    assert first == again
    assert first[1]["dim"] == "32" and first[1]["heads"] == "4" and first[1]["image_size"] == "32"


def test_given_arguments_stay_as_they_are() -> None:
    (loaded,) = load(f"{constructors.__name__}:ViT", {"dim": 48, "heads": 6}, runs)
    assert loaded.model().h.in_features == 48 and "dim" not in loaded.made_up


def test_modules_that_were_made_up_are_not_shared_between_models() -> None:
    (loaded,) = load(f"{constructors.__name__}:PreNorm", {}, runs)
    assert loaded.model().fn is not loaded.model().fn


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        (WHOLE, "in_channels", 3), (WHOLE, "num_classes", 10), (WHOLE, "n_classes", 10), (WHOLE, "hidden_dim", 32),
        (WHOLE, "d_model", 32), (WHOLE, "num_heads", 4), (WHOLE, "nhead", 4), (WHOLE, "vocab_size", 100),
        (WHOLE, "n_layers", 2), (WHOLE, "depth", 2), (WHOLE, "max_len", 16), (WHOLE, "kernel_size", 3),
        (WHOLE, "img_size", 32), (WHOLE, "patch_size", 8), (WHOLE, "latent_dim", 16), (WHOLE, "input_dim", 16),
        (WHOLE, "action_dim", 4), (WHOLE, "num_users", 20), (WHOLE, "n_spatial_dims", 2),
        (WHOLE, "codebook_beta", 1), (LISTS, "hidden_sizes", [32, 32]),
        (LISTS, "num_blocks", [2, 2, 2, 2]),
        (WORDS, "activation", "relu"),
    ],
)  # fmt: skip
def test_name_of_an_argument_tells_a_usual_value(table: Any, name: str, value: Any) -> None:
    assert matching(table, name)[0] == value


def test_heads_and_groups_divide_every_width() -> None:
    widths = [values[0] for patterns, values in WHOLE if values[0] in (32, 64, 16)]
    assert widths and all(width % heads == 0 for width in widths for heads in (matching(WHOLE, "num_heads")[0],))


class Unbuildable(nn.Module):
    def __init__(self, key: str, size: int) -> None:
        super().__init__()
        raise ValueError(f"no {key}")


class Asking(nn.Module):
    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(cfg.in_features, cfg["hidden_size"])


def test_what_cannot_be_known_is_named() -> None:
    found = complete(Unbuildable, {}, ["key", "size"])
    assert found.arguments is None and found.reason == "nothing is known about key"
    assert "ValueError: no k" in complete(Unbuildable, {"key": "k"}, ["size"]).reason


def test_configuration_fills_itself_with_what_it_is_asked_for() -> None:
    found = complete(Asking, {}, ["cfg"]).arguments
    assert found is not None and isinstance(found["cfg"], Filling)
    assert (found["cfg"].in_features, found["cfg"].hidden_size) == (16, 32)
    assert found["cfg"].in_features == found["cfg"]["in_features"], "the same answer each time"


@pytest.mark.slow
def test_blocks_of_a_file_are_left_to_the_networks_that_use_them() -> None:
    names = [one.target.rpartition(":")[2] for one in load(str(Path(constructors.__file__)), {}, runs)]
    assert "ResNet" in names and "UNet" in names
    assert "ConvBlock" not in names, "UNet uses it"


@pytest.mark.slow
def test_report_names_what_was_made_up(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self, in_features, num_classes):\n"
        "        super().__init__(in_features, num_classes)\n"
    )
    command = [sys.executable, "-m", "gradcheck_health", "check", "net.py:Net", "-o", "out.json"]
    environment = {"PYTHONPATH": str(Path(gradcheck_health.__file__).parent.parent), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "built:   with in_features=16, num_classes=10, made up (pass --arg" in done.stdout
    assert '"made_up_arguments"' in (tmp_path / "out.json").read_text()
    assert json.loads((tmp_path / "out.json").read_text())


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["Bert", "T5", "ViT", "Qwen3Moe"])
def test_configuration_is_made_small_and_stays_valid(name: str) -> None:
    pytest.importorskip("tests.zoo.torchvision_ops").declare_torchvision_ops()
    transformers = pytest.importorskip("transformers")
    large = getattr(transformers, f"{name}Config")()
    config = tiny(large)
    assert type(config) is type(large)
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config)
    assert sum(p.numel() for p in model.parameters()) < 3_000_000
    assert runs(model)


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "GPT2LMHeadModel", "LlavaForConditionalGeneration"])
def test_class_of_a_library_is_built_from_a_small_configuration(name: str) -> None:
    """Their configurations are dataclasses, too, whose fields all have defaults: the large published ones."""
    pytest.importorskip("tests.zoo.torchvision_ops").declare_torchvision_ops()
    pytest.importorskip("transformers")
    (loaded,) = load(f"transformers:{name}", {}, runs)
    torch.manual_seed(0)
    assert sum(p.numel() for p in loaded.model().parameters()) < 1_000_000


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 forgets overloads")
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_constructor_that_takes_anything_is_known_by_its_overload(name: str) -> None:
    (loaded,) = load(f"torch.nn:{name}", {"input_size": 3}, runs)
    assert set(loaded.made_up) == {"hidden_size"}
    assert runs(loaded.model())
    with pytest.raises(UsageError, match=r"did you mean 'input_size'"):
        load(f"torch.nn:{name}", {"input_siz": 3}, runs)
