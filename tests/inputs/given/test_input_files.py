"""Inputs from files: every format, and one clear error for everything that can be wrong with them."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.torch
import torch
from torch import nn

from gradcheck_health.check.api import check_gradients
from gradcheck_health.inputs import blame, synthesize
from gradcheck_health.model import memory
from gradcheck_health.records.errors import InputsError
from gradcheck_health.settings.resolution import load

X, Y = torch.arange(12.0).reshape(4, 3), torch.tensor([[1, 2], [0, 1], [2, 2], [0, 0]])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.table = nn.Linear(3, 2), nn.Embedding(3, 2)

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.fc(x) + self.table(ids).sum(1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    numpy.savez("batch.npz", x=X.double().numpy(), ids=Y.numpy())
    numpy.savez("unnamed.npz", X.numpy(), Y.numpy())
    numpy.save("x.npy", X.numpy())
    torch.save({"x": X, "ids": Y}, "batch.pt")
    torch.save((X, Y), "pair.pt")
    torch.save({"model": nn.Linear(2, 2)}, "objects.pt")
    numpy.savez("one.npz", whatever=Y.numpy())
    numpy.savez("other.npz", xx=X.numpy(), idz=Y.numpy())
    numpy.savez("nan.npz", x=numpy.full((4, 3), numpy.nan), ids=Y.numpy())
    numpy.savez("empty.npz", x=numpy.zeros((0, 3)), ids=numpy.zeros((0, 2), dtype=int))
    numpy.savez("wide.npz", x=numpy.zeros((4, 5)), ids=Y.numpy())
    numpy.savez("words.npz", x=numpy.array(["a", "b"]), ids=Y.numpy())
    numpy.savez("pickled.npz", x=numpy.array([{}], dtype=object))
    Path("text.npz").write_text("no archive")
    return tmp_path


def _same(model: nn.Module, given: Any) -> None:
    inputs = synthesize(model, given)
    names = dict(zip(("x", "ids"), inputs.args, strict=False)) | dict(inputs.kwargs)
    x, ids = names["x"], names["ids"]
    assert x.dtype == torch.float32 and torch.equal(x, X) and torch.equal(ids, Y)
    assert not inputs.made_up and inputs.batch == 4
    assert blame(model, inputs, 0) is None


@pytest.mark.parametrize(
    "given",
    ["batch.npz", "unnamed.npz", "batch.pt", "pair.pt",
     {"x": "x.npy", "ids": "batch.pt"}, {"x": "batch.npz:x", "ids": "one.npz"},
     {"x": "batch.npz", "ids": "other.npz:idz"}, {"x": X, "ids": "batch.npz"}, ("x.npy", "one.npz")],
)  # fmt: skip
def test_every_format_gives_the_tensors_that_were_saved(given: Any) -> None:
    _same(Net(), given)


def test_safetensors_file_gives_the_tensors_that_were_saved() -> None:
    safetensors.torch.save_file({"x": X, "ids": Y}, "batch.safetensors")
    _same(Net(), "batch.safetensors")


@pytest.mark.parametrize(("file", "package"), [("batch.safetensors", "safetensors"), ("batch.npz", "numpy")])
def test_missing_package_is_named_with_a_way_out(file: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("batch.safetensors").touch()
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputsError, match=rf"needs {package}, which is not installed: pip install {package}"):
        synthesize(Net(), file)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("batsh.npz", ["no file batsh.npz", "did you mean 'batch.npz'?"]),
        ({"x": "nowhere/x.npy"}, ["inputs['x']", "no file nowhere/x.npy"]),
        ("text.npz", ["text.npz is no .npz file of plain arrays", "save tensors or numbers, no objects"]),
        ("pickled.npz", ["pickled.npz is no .npz file of plain arrays"]),
        ("objects.pt", ["objects.pt is no .pt file of plain arrays", "no objects"]),
        ("words.npz", ["inputs['x']", "got an array of <U1; allowed: numbers and booleans"]),
        ("other.npz", ["inputs['xx']", "forward has no such argument", "it takes x, ids"]),
        ({"x": "batch.npz:y", "ids": Y}, ["holds no entry 'y'", "it holds x, ids"]),
        ({"x": "other.npz", "ids": Y}, ["holds no entry 'x'", "did you mean 'xx'?", "other.npz:xx"]),
        ({"x": "x.npy:x", "ids": Y}, ["x.npy holds no entries with names"]),
        ("nan.npz", ["x holds NaN", "12 of 12"]),
        ("empty.npz", ["x is empty", "[0, 3]"]),
        ("wide.npz", ["wanted: 3 in dimension 1", "got [4, 5]"]),
    ],
)
def test_every_fault_is_one_error(given: Any, parts: list[str]) -> None:
    model = Net()
    try:
        text = str(blame(model, synthesize(model, given), 0))
    except InputsError as error:
        text = str(error)
    for part in parts:
        assert part in text


def test_files_of_the_settings_stand_beside_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gradhealth.yaml").write_text("inputs: {x: batch.npz, ids: batch.npz}\n")
    (folder / "deeper").mkdir()
    monkeypatch.chdir(folder / "deeper")
    report = check_gradients(Net(), config=load())
    assert report.trace.inputs.description == "x=float32[4, 3], ids=int64[4, 2]" and report.trace.inputs.origin == "given"


def test_archive_that_unpacks_to_more_than_the_memory_is_refused_before_it_is_unpacked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numpy.savez_compressed("zeros.npz", x=numpy.zeros((1000, 3)))
    monkeypatch.setattr(memory, "restricted", lambda: 20_000)
    monkeypatch.setattr(numpy, "load", None)  # nothing is read
    with pytest.raises(InputsError, match=r"zeros\.npz unpacks to 23\.6 KiB; allowed: 19\.5 KiB of memory"):
        synthesize(Net(), "zeros.npz")
