"""Models from the cells of a notebook: their lines are found, and their cells are called as IPython calls them."""

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Iterator

import pytest
import torch

from gradcheck_health import check_gradients
from gradcheck_health.formats.terminal import render

CELL = """import torch
from torch import nn
class Cutter(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 2)
    def forward(self, x):
        h = self.a(x).detach()
        return self.b(h)
"""


class _Compiler:
    """As IPython's: a name of a file -> ("Cell", "In[3]")."""

    def format_code_name(self, name: str) -> tuple[str, str] | None:
        return ("Cell", "In[3]") if name == "/tmp/ipykernel_1/42.py" else None


@pytest.fixture(params=["<ipython-input-3-0f3a>", "/tmp/ipykernel_1/42.py"])
def cell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The module that cells run in, after one of them has run."""
    name = request.param
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(compile=_Compiler())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    space = types.ModuleType("cells")
    monkeypatch.setitem(sys.modules, "cells", space)
    linecache.cache[name] = (len(CELL), None, CELL.splitlines(keepends=True), name)
    exec(compile(CELL, name, "exec"), vars(space))
    yield space
    linecache.cache.pop(name, None)


def test_places_are_cells_and_their_lines(cell: types.ModuleType) -> None:
    report = check_gradients(cell.Cutter(), torch.randn(8, 4))
    (finding,) = report.findings
    assert finding.rule == "cut-gradient"
    assert "In[3]:9" in dict(finding.details)["starts"]
    assert {place.source for place in finding.places} == {"In[3]:6"}
    assert "In[3]:9" in render(report)


def test_a_class_without_readable_source_has_no_lines(cell: types.ModuleType) -> None:
    linecache.cache.clear()
    report = check_gradients(cell.Cutter(), torch.randn(8, 4))
    assert {place.source for place in report.findings[0].places} == {None}
