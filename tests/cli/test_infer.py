"""`gradhealth infer` and saved inputs: what is told, written, read back, and refused when it no longer fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health.check.api import check_gradients
from gradcheck_health.check.infer import infer_inputs
from gradcheck_health.cli.commands.infer import render
from gradcheck_health.inputs import synthesize
from gradcheck_health.inputs.language.notation import parse_node, write
from gradcheck_health.inputs.plan import Const, Plan
from gradcheck_health.model.nest import tensors
from gradcheck_health.records.errors import InputsError, UsageError
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.config_files import from_file
from gradcheck_health.settings.edit import save
from gradcheck_health.settings.resolution import load
from tests.inputs.user_models import MODELS
from tests.support.command import gradhealth

FILE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 5), nn.Linear(8 * 20 * 20, 10)
    def forward(self, x, mask=None):
        return self.fc(self.conv(x).relu().flatten(1))
"""
ENTRY = {"model": "net.Net", "forward": "(x)", "inputs": {"x": "f32[B,3,24,24]"}}


class Net(nn.Module):
    def __init__(self, features: int = 6) -> None:
        super().__init__()
        self.fc = nn.Linear(features, 2)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return self.fc(x) * scale


def settings(spec: str = "f32[B,5,6]", forward: str = "(x, scale=1.0)") -> Config:
    entry = {"model": f"{__name__}.Net", "forward": forward, "inputs": {"x": spec}}
    return Config(saved_inputs={"net.py:Net": entry}, origins={"saved_inputs.net.py:Net": "gradhealth.yaml:7"})


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_what_is_reported_gives_the_very_same_inputs_again(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    made = synthesize(model, batch_size=4)
    specs = {entry.argument: entry.spec for entry in made.provenance}
    again = synthesize(model, specs, batch_size=4)
    first, second = (list(tensors((list(inputs.args), dict(inputs.kwargs)))) for inputs in (made, again))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert a.dtype == b.dtype and torch.equal(a, b)


@pytest.mark.parametrize(
    "text",
    ["3", "1.5", "true", "none", "'word'", "f32[B,3]", "i64[B,7]>=3<99", "(f32[1,B,8], f32[1,B,8])", "(f32[B,2],)",
     "[i64[B]<4, 2]",
     "{a: f32[B,2], b: [f32[B,3]]}", "(.x: f32[B,4], .edge_index: i64[2,9]<4)", "bool[B,7]=mask", "f16[B,2]", "[]"],
)  # fmt: skip
def test_text_is_read_and_written_alike(text: str) -> None:
    plan = Plan((("x", parse_node(text, "x", {})),))
    assert write(plan, plan.arguments[0][1]) == text


def test_constants_of_the_language_are_python_values() -> None:
    values = [parse_node(text, "x", {}) for text in ("3", "1e-3", "-2", "true", "none", '"a b"')]
    assert [node.value for node in values if isinstance(node, Const)] == [3, 1e-3, -2, True, None, "a b"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("(f32[B,2]", "does not end with ')'"),
        ("{f32[B]}", "has no key: write key: value"),
        ("'a", "is no spec"),
        ("i64[B]>=9<4", "lies below the upper one"),
        ("f32[B]>=1", "is for integers"),
        ("[" * 30 + "]" * 30, "more than 20 brackets"),
    ],
)
def test_text_that_cannot_be_read_is_reported_where(text: str, part: str) -> None:
    with pytest.raises(InputsError, match=r"^inputs\['x'\]") as caught:
        parse_node(text, "inputs['x']", {})
    assert part in str(caught.value)


def test_saved_inputs_are_used_for_a_model_of_the_class() -> None:
    report = check_gradients(Net(), config=settings())
    assert report.trace.inputs.description == "float32[32, 5, 6]"
    assert report.trace.inputs.origin == "saved in gradhealth.yaml:7" and report.trace.inputs.made_up


def test_given_inputs_go_over_saved_ones() -> None:
    assert check_gradients(Net(), torch.ones(3, 6), config=settings()).trace.inputs.origin == "given"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (settings(forward="(x)"), "forward took (x), now takes (x, scale=1.0)"),
        (settings(spec="f32[B,7]"), "it does not run (RuntimeError"),
    ],
)
def test_stale_saved_inputs_are_reported_and_not_used(config: Config, why: str) -> None:
    inputs = check_gradients(Net(), config=config).trace.inputs
    assert inputs.description == "float32[32, 6]"
    assert f"gradhealth.yaml:7: what is saved for net.py:Net is not used: {why}" in inputs.origin


def test_the_target_decides_between_two_models_of_one_class() -> None:
    entries = {
        f"net.py:{name}": {"model": f"{__name__}.Net", "forward": "(x, scale=1.0)", "inputs": {"x": f"f32[B,{steps},6]"}}
        for name, steps in (("narrow", 2), ("wide", 9))
    }
    config = Config(saved_inputs=entries)
    for name, steps in (("narrow", 2), ("wide", 9)):
        report = check_gradients(Net(), config=config, target=f"net.py:{name}")
        assert report.trace.inputs.description == f"float32[32, {steps}, 6]"


def test_infer_tells_sizes_reasons_and_confidence() -> None:
    torch.manual_seed(0)
    told = infer_inputs(MODELS["MaskedTransformer"](), config=Config(), target="net.py:Net")
    by_name = {entry.argument: entry for entry in told.arguments}
    assert by_name["src"].spec == "i64[B,24]<120" and "<120: embed (Embedding)" in by_name["src"].why
    assert (by_name["src"].confidence, by_name["src_mask"].confidence) == ("high", "medium")
    assert told.reached == told.trainable > 0
    text = render(told)
    assert max(len(line) for line in text.splitlines() if not line.startswith(("python", "shell", "keep"))) <= 80
    assert "gradhealth check net.py:Net --input 'src=i64[B,24]<120'" in text


def test_infer_names_what_was_not_reached() -> None:
    model = Net()
    model.spare = nn.Linear(2, 2)
    told = infer_inputs(model, config=Config())
    assert (told.reached, told.trainable, told.unreached) == (2, 4, ("spare.bias", "spare.weight"))


def _read(path: Path) -> dict[str, Any]:
    return dict(from_file(path).table)


@pytest.mark.parametrize("name", ["gradhealth.yaml", "pyproject.toml"])
def test_saving_keeps_the_rest_of_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    before = {
        "gradhealth.yaml": "seed: 3   # mine\nignore:\n  dead-unit: meant\n\n# the end\nrounds: 2\n",
        "pyproject.toml": "[tool.gradhealth]\nseed = 3   # mine\nrounds = 2\n[tool.gradhealth.ignore]\n"
        'dead-unit = "meant"\n[tool.ruff]\nx = 1\n',
    }[name]
    path.write_text(before)
    other = {**ENTRY, "inputs": {"x": "f32[B,3,28,28]", "*0": "{a: f32[B,2]}"}}
    save(path, "net.py:Net", ENTRY)
    save(path, "net.py:Other", other)
    save(path, "net.py:Net", other)
    assert _read(path) == {
        "seed": 3, "rounds": 2, "ignore": {"dead-unit": "meant"}, "saved_inputs": {"net.py:Net": other, "net.py:Other": other},
    }  # fmt: skip
    assert all(line in path.read_text().splitlines() for line in before.splitlines())
    assert load(file=path).saved_inputs["net.py:Other"]["inputs"] == other["inputs"]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_table_in_another_form_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gradhealth.yaml"
    text = 'saved_inputs: {"net.py:Net": {model: a.B, forward: (x), inputs: {x: "f32[B,2]"}}}\n'
    path.write_text(text)
    with pytest.raises(UsageError, match="cannot be edited without touching the rest"):
        save(path, "net.py:Net", ENTRY)
    assert path.read_text() == text and [entry.name for entry in tmp_path.iterdir()] == ["gradhealth.yaml"]


def test_saving_into_a_file_that_holds_no_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"allowed: gradhealth\.yaml or pyproject\.toml"):
        save(tmp_path / "inputs.json", "net.py:Net", ENTRY)


@pytest.mark.slow
def test_command_saves_what_a_check_then_reads(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FILE)
    told = gradhealth("infer", "net.py", "--save", "gradhealth.yaml", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "x  f32[B,3,24,24]" in told.stdout and "left out: mask" in told.stdout and "saved:   gradhealth.yaml" in told.stdout
    checked = gradhealth("check", "net.py:Net", folder=tmp_path)
    assert "saved in gradhealth.yaml:2" in " ".join(checked.stdout.split())
    (tmp_path / "net.py").write_text(FILE.replace("mask=None", "mask=None, scale=2"))
    changed = " ".join(gradhealth("check", "net.py:Net", folder=tmp_path).stdout.split())
    assert "is not used: forward took (x, mask=None), now takes (x, mask=None, scale=2)" in changed
    assert "made up from conv (Conv2d)" in changed
