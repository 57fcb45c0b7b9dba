"""Making up inputs for third-party models, with everything that declares a size erased."""

from __future__ import annotations

import math
import re
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.inputs.subjects import COLLECTIONS
from benchmarks.inputs.tasks import examine
from gradcheck_health.inputs import synthesize
from gradcheck_health.inputs.plan import Plan
from gradcheck_health.inputs.search import trial

pytestmark = pytest.mark.zoo

TIMM = ("cait_xxs24_224", "convnext_atto", "deit_tiny_patch16_224", "efficientformerv2_s0", "gcvit_xxtiny", "ghostnet_050",
        "halonet26t", "dla34", "resnet26d", "tiny_vit_5m_224")  # fmt: skip
TRANSFORMERS = ("albert", "bart", "bert", "deit", "distilbert", "gpt2", "llama", "t5", "vit", "wav2vec2",
                "audio-spectrogram-transformer", "glm4v_vision")  # fmt: skip


@pytest.mark.parametrize("name", TIMM)
def test_timm(name: str) -> None:
    _check("timm", name)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(name: str) -> None:
    _check("transformers", name)


@pytest.mark.parametrize("name", ["llava", "mistral3", "exaone4_5"])
def test_model_of_images_and_text_is_fed_both(name: str) -> None:
    assert len(re.findall("float", _check("transformers", name)["inputs"])) == 1


@pytest.mark.slow
def test_every_layer_of_torch() -> None:
    pytest.importorskip("expecttest")
    wrong = []
    for name, build in COLLECTIONS["torch_nn"]():
        result = examine(build, 4)
        if result["outcome"] not in ("ran", "known input fails", "not built"):
            wrong.append((name, result))
    assert not wrong


class Flattens(nn.Module):
    """The layer that comes first tells of images, but the argument goes through a flattening and an activation into another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 3)
        self.flatten, self.drop, self.act, self.expand = nn.Flatten(), nn.Dropout(0.1), nn.ReLU(), nn.Linear(16, 4 * 8 * 8)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        flat = self.flatten(latent)
        return self.conv(self.expand(self.act(self.drop(flat))).reshape(-1, 4, 8, 8))


def test_layers_that_hand_on_what_they_get_are_seen_through() -> None:
    inputs = synthesize(Flattens(), batch_size=5)
    assert [tuple(x.shape) for x in inputs.args] == [(5, 16)]


class Attends(nn.Module):
    """Its optional mask asks for far more positions than an image of the first guess has."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.gate = nn.Conv2d(3, 8, 1), nn.Linear(128 * 128, 1)

    def forward(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        tokens = self.project(image).flatten(2)
        scores = torch.softmax(tokens.transpose(1, 2) @ tokens, -1)
        return scores.mean() if mask is None else self.gate(scores[:, 0]).mean() + mask.float().mean()


def test_optional_argument_never_makes_a_trial_unaffordable(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = trial.TrialRunner.run

    def spied(self: trial.TrialRunner, plan: Plan) -> trial.Outcome:
        sizes.extend(math.prod(plan.shape(leaf)) for path, leaf in plan.leaves() if path == ("image",))
        return run(self, plan)

    monkeypatch.setattr(trial.TrialRunner, "run", spied)
    inputs = synthesize(Attends(), batch_size=2)
    assert inputs.left_out == ("mask",)
    # scores over the 128 x 128 positions that the gate wants would have 2**28 entries a sample
    assert max(sizes) < 16 * sizes[0]


def _check(collection: str, name: str) -> dict[str, Any]:
    # not importorskip: torchvision's operators may have to be declared before the import
    if find_spec(collection) is None:
        pytest.skip(f"{collection} is not installed")
    torch.manual_seed(0)
    build = next((build for known, build in COLLECTIONS[collection]() if known == name), None)
    if build is None:
        pytest.skip(f"this version of the library has no {name} in the collection")
    result = examine(build, 4)
    assert result["outcome"] in ("ran", "too slow"), result  # what it costs is measured, and not tested
    assert result["reached"] == 1.0 and result["agrees"]
    return result
