"""Weights from a file: loaded as torch loads them, refused where they do not fit, and no code of the file is run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gradcheck_health import check_gradients
from gradcheck_health.model.checkpoint import Checkpoint, load
from gradcheck_health.records.errors import UsageError
from gradcheck_health.settings.from_options import sources
from gradcheck_health.settings.resolution import load as settings


class Net(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, width), nn.ReLU())
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.encoder(x)))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights(model: nn.Module | None = None, rename: Callable[[str], str] = str) -> dict[str, Tensor]:
    """Of a model, no two alike, by other names."""
    torch.manual_seed(5)
    state = (model or Net()).state_dict()
    return {rename(name): torch.randn_like(t) if t.is_floating_point() else t + 3 for name, t in state.items()}


def same(model: nn.Module, state: dict[str, Tensor]) -> bool:
    own = model.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[name], state[name]) for name in state)


def shards(state: dict[str, Tensor]) -> None:
    for i, name in enumerate(state):
        save_file({name: state[name]}, f"{i}.safetensors")
    places = {name: f"{i}.safetensors" for i, name in enumerate(state)}
    Path("model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize(
    ("write", "given"),
    [
        (lambda state: save_file(state, "w.safetensors"), "w.safetensors"),
        (lambda state: torch.save(state, "w.pt"), "w.pt"),
        (lambda state: torch.save(state, "w.bin", _use_new_zipfile_serialization=False), "w.bin"),
        (shards, "model.safetensors.index.json"),
        (lambda state: torch.save({"epoch": 3, "state_dict": state}, "w.ckpt"), {"file": "w.ckpt", "key": "state_dict"}),
        (lambda state: torch.save({"ema": {"model": state}}, "w.ckpt"), {"file": "w.ckpt", "key": "ema.model"}),
        (
            lambda state: torch.save({f"net.{k}": v for k, v in state.items()} | {"loss.weight": torch.ones(3)}, "w.pt"),
            {"file": "w.pt", "prefix": "net."},
        ),
        (lambda state: torch.save({f"module.{k}": v for k, v in state.items()}, "w.pt"), "w.pt"),
        (lambda state: torch.save({f"_orig_mod.{k}": v for k, v in state.items()}, "w.pt"), "w.pt"),
    ],
)
def test_what_was_saved_is_loaded(write: Callable[[Any], None], given: Any) -> None:
    state, model = weights(), Net()
    write(state)
    assert not same(model, state)
    load(model, Checkpoint.of(given))
    assert same(model, state)


def refused(given: Any, model: nn.Module | None = None, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        load(model or Net(), Checkpoint.of(given), **options)
    return str(caught.value)


def test_place_in_the_file_is_found_and_told_but_not_taken() -> None:
    torch.save({"epoch": 3, "state_dict": weights(rename="model.{}".format), "optimizer": {0: torch.ones(1)}}, "last.ckpt")
    text = refused("last.ckpt")
    assert "no tensors at its top" in text
    assert "9 of those under state_dict with the prefix 'model.'" in text
    assert "--checkpoint-key state_dict --checkpoint-prefix model.\n" in text
    table = json.loads(text.partition("in Python: checkpoint=")[2])
    load(Net(), Checkpoint.of({**table, "file": "last.ckpt"}))
    assert "did you mean 'state_dict'?" in refused({"file": "last.ckpt", "key": "state_dic"})
    assert "9 of 9 with the prefix 'model.'" in refused({"file": "last.ckpt", "key": "state_dict"})
    assert "begins with 'net.'" in refused({"file": "last.ckpt", "key": "state_dict", "prefix": "net."})


def test_every_difference_of_a_kind_is_reported_at_once() -> None:
    save_file(weights(Net(16)), "wide.safetensors")
    text = refused("wide.safetensors")
    assert "encoder.0.weight: got [16, 4]; allowed: [8, 4]" in text
    assert "and 3 more" in text
    save_file(weights(rename=lambda name: name.replace("head", "haed")), "renamed.safetensors")
    text = refused("renamed.safetensors")
    assert [word in text for word in ("missing     head.weight", "haed.bias (did you mean 'head.bias'?)")] == [True, True]
    save_file({"a": torch.ones(1), "b": torch.ones(2)}, "other.safetensors")
    text = refused("other.safetensors")
    assert "none of its names is one of Net" in text and "encoder.0.weight" in text


def test_dtype_has_to_be_the_same_unless_one_is_asked_for() -> None:
    state = {name: t.half() if t.is_floating_point() else t for name, t in weights().items()}
    save_file(state, "half.safetensors")
    text = refused("half.safetensors")
    assert "got float16; allowed: float32" in text and "--dtype float16" in text
    model = Net()
    load(model, Checkpoint("half.safetensors"), convert=True)
    assert all(torch.equal(t, state[name].to(t.dtype)) for name, t in model.state_dict().items())
    save_file({**weights(), "norm.num_batches_tracked": torch.tensor(3.0)}, "count.safetensors")
    assert "num_batches_tracked: got float32; allowed: int64" in refused("count.safetensors", convert=True)


def test_of_tied_weights_one_name_is_enough() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
            self.head.weight = self.embed.weight

    save_file({"embed.weight": torch.ones(7, 4)}, "tied.safetensors")
    model = Tied()
    load(model, Checkpoint("tied.safetensors"))
    assert torch.equal(model.head.weight, torch.ones(7, 4))
    save_file({"head.weight": torch.zeros(7, 4)}, "tied.safetensors")
    load(model, Checkpoint("tied.safetensors"))
    assert torch.equal(model.embed.weight, torch.zeros(7, 4))


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("it-was-run",)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    "wrap", [lambda evil, state: evil, lambda evil, state: {**state, "x": evil}, lambda evil, state: {"a": [evil]}]
)
def test_code_of_a_file_is_not_run(wrap: Callable[[Any, Any], Any], new: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not where the environment asks torch for it."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save(wrap(Evil(), weights()), "evil.pt", _use_new_zipfile_serialization=new)
    text = refused("evil.pt")
    assert "no code of a file is run" in text and "mkdir" in text
    assert not Path("it-was-run").exists()
    torch.load("evil.pt", weights_only=False)  # the negative control: it would have run
    assert Path("it-was-run").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("junk.pt", b"junk" * 100, "no whole .pt file"),
        ("empty.ckpt", b"", "no whole .ckpt file"),
        ("junk.safetensors", b"junk" * 100, "no whole .safetensors file"),
        ("empty.safetensors", b"", "no whole .safetensors file"),
        ("w.txt", b"", "got a .txt file; allowed: .safetensors"),
        ("a.index.json", b"[]", "no whole"),
        ("b.index.json", b'{"weight_map": {"x": "../../w.pt"}}', "the name of a file beside the index"),
        ("c.index.json", b'{"weight_map": {"x": "c.index.json"}}', "the name of a file beside the index"),
        ("d.index.json", b'{"weight_map": {"x": "gone.safetensors"}}', "there is no such file"),
        ("e.index.json", b'{"weight_map": 3}', "no whole"),
    ],
)
def test_broken_file_is_one_error(folder: Path, name: str, content: bytes, words: str) -> None:
    (folder / name).write_bytes(content)
    assert words in refused(name)


def test_missing_file_and_folder_are_reported_with_what_is_there(folder: Path) -> None:
    save_file(weights(), "weights.safetensors")
    assert "did you mean 'weights.safetensors'?" in refused("weight.safetensors")
    assert "got a folder; name a file in it: weights.safetensors" in refused(str(folder))
    torch.save([1, 2], "list.pt")
    assert "got a list" in refused("list.pt")
    torch.save({"epoch": 3}, "none.pt")
    assert "there is no tensor in it; it holds epoch" in refused("none.pt")


def test_table_that_holds_itself_many_times_is_read_quickly() -> None:
    inner: dict[str, Any] = {"x": torch.ones(1)}
    for _ in range(6):
        inner = {f"n{i}": inner for i in range(1000)}
    torch.save(inner, "bomb.pt")
    assert "there is no tensor in it" in refused("bomb.pt")


@pytest.mark.slow
def test_check_is_of_those_weights_and_leaves_the_model_as_it_was() -> None:
    state = weights()
    state["encoder.0.bias"] = torch.full((8,), -1e3)  # every unit dead
    save_file(state, "dead.safetensors")
    model = Net()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    assert not any(finding.rule == "dead-unit" for finding in check_gradients(model).findings)
    report = check_gradients(model, checkpoint="dead.safetensors")
    assert any("encoder" in name for finding in report.findings for name in finding.names)
    assert not report.ok
    assert report.environment["checkpoint"] == "dead.safetensors"
    assert same(model, before)
    factory = check_gradients(Net, checkpoint=Path("dead.safetensors"))
    assert not factory.ok, "weights of a file are not initialised anew for another seed"


def test_option_settings_and_their_messages(folder: Path) -> None:
    assert sources({"checkpoint": "w.pt"})[0].table == {"checkpoint": "w.pt"}
    table = {"file": "w.pt", "key": "state_dict", "prefix": "model."}
    options = {"checkpoint": "w.pt", "checkpoint_key": "state_dict", "checkpoint_prefix": "model."}
    assert sources(options)[0].table == {"checkpoint": table}
    with pytest.raises(UsageError, match="--checkpoint-key: got no file"):
        sources({"checkpoint_key": "state_dict"})
    (folder / "sub").mkdir()
    (folder / "sub" / "gradhealth.yaml").write_text("checkpoint: {file: w.pt, key: state_dict}\n")
    assert settings(file=Path("sub/gradhealth.yaml")).checkpoint == {"file": "sub/w.pt", "key": "state_dict"}
    for wrong in ("checkpoint: 3", "checkpoint: {key: x}", "checkpoint: {file: w.pt, keys: x}", "checkpoint: ''"):
        (folder / "gradhealth.yaml").write_text(wrong)
        with pytest.raises(UsageError, match=r"gradhealth.yaml:1: checkpoint.*allowed: a file such as"):
            settings()
