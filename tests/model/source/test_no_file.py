"""Places of models whose code lies in no ordinary file: the class is named, and no line is made up."""

from __future__ import annotations

import importlib
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from gradcheck_health import Finding, Severity, check_gradients

CODE = """
import torch
from torch import nn


class Typo(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)

    def forward(self, x):
        return self.first(torch.relu(self.first(x)))
"""
LINE = 1 + CODE.splitlines().index("        self.second = nn.Linear(8, 8)")


def missing(model: nn.Module) -> Finding:
    (finding,) = check_gradients(model, torch.randn(16, 8)).findings
    assert finding.rule == "missing-gradient"
    assert finding.names == ("second.bias", "second.weight")
    return finding


@pytest.mark.parametrize("name", ["<string>", "<ipython-input-1-abc>"])
def test_executed_text_has_a_class_and_no_line(name: str) -> None:
    space = {"__name__": "__main__" if name.startswith("<ipython") else "somewhere"}
    exec(compile(CODE, name, "exec"), space)
    finding = missing(space["Typo"]())  # type: ignore[operator]
    assert [place.source for place in finding.places] == [None, None]
    assert finding.places[0].kind == "Linear"


def test_layer_that_nothing_refers_to_is_an_error_without_source_too() -> None:
    space = {"__name__": "__main__"}
    exec(compile(CODE, "<stdin>", "exec"), space)
    assert missing(space["Typo"]()).severity is Severity.ERROR  # type: ignore[operator]


@pytest.mark.parametrize(
    "reference", ["self.second(x) if self.training is None else x", "getattr(self, 'sec' + 'ond')(x) if not x.dim() else x"]
)
def test_layer_that_another_run_may_call_is_excused_without_source_too(reference: str) -> None:
    space = {"__name__": "__main__"}
    code = CODE.replace("self.first(torch.relu(self.first(x)))", f"self.first(torch.relu({reference}))")
    exec(compile(code, "<stdin>", "exec"), space)
    assert missing(space["Typo"]()).severity is Severity.NOTE  # type: ignore[operator]


def test_module_in_a_zip_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "models.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_typo.py", CODE)
    monkeypatch.syspath_prepend(str(archive))
    try:
        finding = missing(importlib.import_module("zipped_typo").Typo())
    finally:
        # this one alone: what else is imported meanwhile (yaml) would come twice, and its exceptions would be other classes
        sys.modules.pop("zipped_typo", None)
    assert all(place.source is None or place.source.endswith(f"zipped_typo.py:{LINE}") for place in finding.places)


def test_bare_sequential_names_its_layer() -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    nn.init.constant_(model[0].bias, -100.0)
    (finding,) = (f for f in check_gradients(model, torch.randn(64, 16)).findings if f.severity.value == "error")
    assert finding.rule == "dead-unit"
    assert finding.names[0] == "0"
    assert finding.places[0].source is None
