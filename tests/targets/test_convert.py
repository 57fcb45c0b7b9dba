"""Configurations that are given as tables reach the constructor as what it takes."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, TypedDict

import pydantic
import pytest
from torch import nn

from gradcheck_health.records.errors import UsageError
from gradcheck_health.settings.from_options import sources
from gradcheck_health.targets.arguments.convert import converted
from gradcheck_health.targets.load import load


@dataclasses.dataclass
class Inner:
    depth: int = 1


@dataclasses.dataclass
class Config:
    width: int
    inner: Inner = dataclasses.field(default_factory=Inner)


class Model(pydantic.BaseModel):
    width: int
    inner: dict[str, int] = {}


class Table(TypedDict):
    width: int


GIVEN = {"width": 5, "inner": {"depth": 3}}


@pytest.mark.parametrize(
    ("hint", "width", "depth"),
    [
        (Config, lambda c: c.width, lambda c: c.inner.depth),
        (Optional[Config], lambda c: c.width, lambda c: c.inner.depth),  # noqa: UP045
        (Config | None, lambda c: c.width, lambda c: c.inner.depth),
        (Model, lambda c: c.width, lambda c: c.inner["depth"]),
        (argparse.Namespace, lambda c: c.width, lambda c: c.inner.depth),
        (types.SimpleNamespace, lambda c: c.width, lambda c: c.inner.depth),
        (dict, lambda c: c["width"], lambda c: c["inner"]["depth"]),
        (Mapping[str, Any], lambda c: c["width"], lambda c: c["inner"]["depth"]),
        (Table, lambda c: c["width"], lambda c: c["inner"]["depth"]),
        (None, lambda c: c.width, lambda c: c.inner.depth),
        (Any, lambda c: c["width"], lambda c: c["inner"]["depth"]),
    ],
)
def test_table_becomes_what_the_annotation_says(hint: Any, width: Any, depth: Any) -> None:
    made = converted(GIVEN, hint, "cfg")
    assert (width(made), depth(made)) == (5, 3)


def test_what_is_no_table_stays_as_it_is() -> None:
    for value in (3, "text", [1, 2], None):
        assert converted(value, Config, "cfg") is value


def test_entries_that_do_not_fit_are_named() -> None:
    with pytest.raises(UsageError, match=r"--arg cfg: Config cannot be made of \{'widht': 5\}: TypeError"):
        converted({"widht": 5}, Config, "cfg")
    with pytest.raises(AttributeError, match="the configuration has no 'depth'; it has width"):
        _ = converted({"width": 5}, None, "cfg").depth


MODEL = """
from dataclasses import dataclass
from torch import nn
@dataclass
class Config:
    width: int = 2
class Net(nn.Linear):
    def __init__(self, cfg: Config): super().__init__(3, cfg.width)
class Loose(nn.Linear):
    def __init__(self, cfg): super().__init__(cfg["width"], cfg.width)
"""


@pytest.mark.parametrize("text", ["width: 7\n", '{"width": 7}', "width = 7\n"])
def test_file_of_the_command_line_is_a_table(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = {"w": "c.yaml", "{": "c.json"}[text[0]] if "=" not in text else "c.toml"
    Path(name).write_text(text)
    Path("nets_of_configs.py").write_text(MODEL)
    (source,) = sources({"args": [f"cfg=@{name}"]})
    for model in ("Net", "Loose"):
        (one,) = load(f"nets_of_configs.py:{model}", source.table["args"])
        assert one.model().out_features == 7


@pytest.mark.parametrize("text", ["cfg=@nowhere.yaml", "cfg=@model.py", "cfg=@broken.json"])
def test_file_that_is_no_table_is_told(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{")
    with pytest.raises(UsageError, match="--arg cfg=@"):
        sources({"args": [text]})


@dataclasses.dataclass
class NetConfig:
    width: int = 8
    depth: int = 2

    @property
    def size(self) -> int:
        return self.width * self.depth


class Net(nn.Module):
    def __init__(self, config: NetConfig | None) -> None:
        super().__init__()
        assert config is not None
        self.layers = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.depth))


def test_entries_that_are_given_stand_beside_the_defaults_of_the_configuration() -> None:
    made = copy.deepcopy(converted({"width": 4}, None, "config", Net))
    assert (made.width, made["depth"], made.size) == (4, 2, 8)
    assert converted({"breadth": 4}, None, "config", Net) == {"breadth": 4}, "not one of its entries: a table as it is"


def test_dotted_names_are_entries_of_one_table() -> None:
    (source,) = sources({"args": ["config.width=4", "config.head.bias=false", "depth=1"]})
    assert source.table["args"] == {"config": {"width": 4, "head": {"bias": False}}, "depth": 1}
    (source,) = sources({"inputs": ["batch.image=f32[B,3]", "batch.ids=i64[B]<9"]})
    assert source.table["inputs"] == {"batch": {"image": "f32[B,3]", "ids": "i64[B]<9"}}
    with pytest.raises(UsageError, match="width was given as 4"):
        sources({"args": ["config.width=4", "config.width.most=9"]})


def test_a_forgotten_sign_in_front_of_a_file_and_the_line_of_a_fault_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("width: 4\ndepth: [1\n")
    with pytest.raises(UsageError, match=r"allowed: cfg=@cfg\.yaml for the table in that file"):
        sources({"args": ["cfg=cfg.yaml"]})
    with pytest.raises(UsageError, match="cannot be read: line 3: "):
        sources({"args": ["cfg=@bad.yaml"]})
    (source,) = sources({"args": ["weights=layers.json"]})
    assert source.table["args"] == {"weights": "layers.json"}, "a name that says nothing of a table"
