"""From what a person types to models; what is said where that fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from gradcheck_health.records.errors import ModelError, UsageError
from gradcheck_health.targets.load import load
from gradcheck_health.targets.target import Target

LINEAR = """
    def __init__(self, width=3):
        super().__init__(8, width)
"""
MODELS = f"""
import torch
from torch import nn
from torch.nn import ReLU            # not defined here
class Net(nn.Linear):{LINEAR}
class Other(Net): pass
class Block(nn.Module):
    def __init__(self, dim, depth=2): super().__init__()
    def forward(self, x): return x
class Base(nn.Module): pass          # no forward
class _Private(Net): pass
class Config: pass
def helper(x): return x
"""


@pytest.fixture(autouse=True)
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loading a target changes the path and the modules of its process, which is a worker; here it is this one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)) or name.startswith("gradhealth_target"):
            del sys.modules[name]


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def targets(text: str, args: dict[str, Any] | None = None) -> list[str]:
    return [loaded.target for loaded in load(text, args)]


def refusal(text: str, args: dict[str, Any] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        load(text, args)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "where", "name"),
    [
        ("model.py", "model.py", None),
        ("model.py:Net", "model.py", "Net"),
        ("model.py::Net", "model.py", "Net"),
        ("a/b/model.py:build", "a/b/model.py", "build"),
        ("pkg.mod:build", "pkg.mod", "build"),
        ("model.py:Outer.Inner", "model.py", "Outer.Inner"),
    ],
)
def test_target_is_taken_apart(text: str, where: str, name: str | None) -> None:
    assert Target.parse(text) == Target(where, name)


@pytest.mark.parametrize("text", ["", ":Net", "model.py:", "model.py:3", "model.py:a b", "a\0b.py"])
def test_text_that_is_no_target_is_reported_what_is(text: str) -> None:
    with pytest.raises(UsageError, match=r"allowed: model\.py, model\.py:Net"):
        Target.parse(text)


def test_bare_file_offers_every_class_that_it_defines_and_can_build() -> None:
    write({"nets.py": MODELS})
    assert targets("nets.py") == ["nets.py:Net", "nets.py:Other", "nets.py:Block"], "the last with a made-up argument"
    assert isinstance(load("nets.py")[0].model(), nn.Linear)


def test_class_with_a_training_step_and_no_forward_is_a_model() -> None:
    step = "    def training_step(self, batch): return self(batch).mean()\n"
    write({"lit.py": f"from torch import nn\nclass Lit(nn.Module):\n    def __init__(self): super().__init__()\n{step}"})
    assert targets("lit.py") == ["lit.py:Lit"]


@pytest.mark.parametrize("name", ["build", "make_model", "model"])
def test_factory_of_a_known_name_stands_for_the_file(name: str) -> None:
    write({"made.py": f"{MODELS}\ndef {name}(width=2): return Net(width)\n"})
    (loaded,) = load("made.py", {"width": 5})
    assert loaded.target == f"made.py:{name}"
    assert loaded.model().out_features == 5


def test_built_model_is_offered_where_no_class_can_be_built() -> None:
    write({"script.py": "from torch import nn\nmodel = nn.Linear(2, 3)\n"})
    (loaded,) = load("script.py")
    assert (loaded.target, isinstance(loaded.model, nn.Linear)) == ("script.py:model", True)


def test_arguments_are_bound_and_checked() -> None:
    write({"nets.py": MODELS})
    assert load("nets.py:Net", {"width": 7})[0].model().out_features == 7
    assert targets("nets.py", {"dim": 3}) == ["nets.py:Block"], "a bare file: the classes that the arguments fit"
    assert "takes no argument 'widht' (did you mean 'width'?)" in refusal("nets.py:Net", {"widht": 7})
    (made,) = load("nets.py:Block", {"depth": 1})
    assert made.made_up == {"dim": "32"}, "what is missing is made up"


STUBBORN = """
from torch import nn
class Net(nn.Module):
    def __init__(self, key, depth=2):
        super().__init__()
        raise ValueError("no key fits")
    def forward(self, x): return x
class Other(Net): pass
"""


def test_constructor_that_no_value_builds_shows_the_command_to_copy() -> None:
    write({"nets.py": STUBBORN})
    needs = refusal("nets.py:Net", {"depth": 1})
    assert "nets.py:Net needs key, which was not given, and no made-up value builds it (ValueError: no key fits)" in needs
    assert "gradhealth check nets.py:Net --arg depth=1 --arg key=..." in needs


def test_file_with_nothing_to_build_shows_the_command_to_copy() -> None:
    write({"blocks.py": STUBBORN})
    text = refusal("blocks.py")
    assert "  gradhealth check blocks.py:Net --arg key=..." in text
    assert "  gradhealth check blocks.py:Other --arg key=..." in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nets.py:Nett", "has no 'Nett' (did you mean 'Net'?)"),
        ("nets.py:torch.nope", "has no 'torch.nope'"),
        ("nets.py:__name__", "got a str; allowed: an nn.Module class"),
        ("nest.py", "no file nest.py (did you mean 'nets.py'?)"),
        ("nothing.py", "no model in it"),
        ("nothing.py", "nothing.py:helper"),
        ("nope_package.mod:Net", "no module 'nope_package'"),
        ("torch.nn.Linear", "no module 'torch.nn.Linear' (did you mean torch.nn:Linear?)"),
        ("nets:Nett", "has no 'Nett'"),
        ("torch.nn:Transfomer", "torch.nn has no 'Transfomer' (did you mean 'Transformer'?)"),
        ("torch.nn:Qqq", "has no 'Qqq'; it has AdaptiveAvgPool1d"),
        ("data.txt", "got a .txt file; allowed: a Python file"),
    ],
)
def test_wrong_target_is_reported_with_the_nearest_right_one(text: str, words: str) -> None:
    write({"nets.py": MODELS, "nothing.py": "def helper(): return 3\ndef test_it(): pass\n", "data.txt": ""})
    assert words in refusal(text)


def test_directory_and_pipe_are_no_files(tmp_path: Path) -> None:
    import os

    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    for name in ("folder.py", "pipe.py"):
        assert "no regular file" in refusal(name)


def test_package_is_imported_as_one() -> None:
    write(
        {
            "zoo_pkg/__init__.py": "",
            "zoo_pkg/sub/__init__.py": "",
            "zoo_pkg/sub/net.py": f"from torch import nn\nclass Net(nn.Linear):{LINEAR}",
            "zoo_pkg/top.py": "from .sub.net import Net\n"
            "import zoo_pkg.sub.net as again\n"
            "assert again.Net is Net\n"
            "def build(): return Net(4)\n",
        }
    )
    assert load("zoo_pkg/top.py")[0].model().out_features == 4
    assert targets("zoo_pkg/sub/net.py") == ["zoo_pkg/sub/net.py:Net"]
    assert targets("zoo_pkg.sub.net:Net") == ["zoo_pkg.sub.net:Net"]


def test_neighbours_can_be_imported() -> None:
    write(
        {
            "deep/neighbour_a.py": "WIDTH = 6\n",
            "deep/net_b.py": f"from neighbour_a import WIDTH\n{MODELS}\ndef build(): return Net(WIDTH)\n",
        }
    )
    assert load("deep/net_b.py")[0].model().out_features == 6


@pytest.mark.parametrize("name", ["torch", "json", "types", "random", "numpy", "yaml", "my-model"])
def test_file_may_have_the_name_of_a_library(name: str) -> None:
    """The file is loaded, and the library of its name stays what it is, also for a neighbour."""
    write(
        {
            f"{name}.py": MODELS,
            "beside.py": f"{MODELS}\nimport random, types, json\nassert json.dumps and types.ModuleType and random.random\n",
        }
    )
    assert targets(f"{name}.py") == [f"{name}.py:{model}" for model in ("Net", "Other", "Block")]
    assert len(load("beside.py")) == 3
    if name in sys.modules:
        assert not str(getattr(sys.modules[name], "__file__", "")).startswith(str(Path.cwd()))


def test_package_may_have_the_name_of_a_library() -> None:
    write(
        {
            "json/__init__.py": "",
            "json/part.py": "WIDTH = 9\n",
            "json/net.py": f"from .part import WIDTH\n{MODELS}\ndef build(): return Net(WIDTH)\n",
        }
    )
    assert load("json/net.py")[0].model().out_features == 9


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def f(:\n", "SyntaxError"),
        ("import surely_not_installed\n", "No module named 'surely_not_installed'"),
        ("raise SystemExit(0)\n", "SystemExit: 0"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        (
            "class E(BaseException):\n    def __str__(self): raise ValueError\nraise E\n",
            "its message could not be read: ValueError",
        ),
        ("def f(): f()\nf()\n", "RecursionError"),
        ("def inner():\n    raise ValueError('deep')\ninner()\n", "broken.py:2 in inner: raise ValueError('deep')"),
    ],
)
def test_import_that_raises_is_reported_with_the_users_own_line(body: str, words: str) -> None:
    write({"broken.py": body})
    with pytest.raises(ModelError, match=r"^broken.py: importing it raised ") as caught:
        load("broken.py")
    assert words in str(caught.value)
    assert "importlib" not in str(caught.value)


def test_bytes_that_are_no_source_are_reported(tmp_path: Path) -> None:
    for content in (b"x = '\xff'\n", b"x = 1\x00\n"):
        (tmp_path / "bytes_.py").write_bytes(content)
        with pytest.raises(ModelError, match="SyntaxError"):
            load("bytes_.py")


ANOTHER = """
from torch import nn
from {helper} import WIDTH
class Net(nn.Linear):
    def __init__(self): super().__init__(2, WIDTH)
"""


def test_file_is_loaded_by_its_path_whatever_was_imported_under_its_name() -> None:
    """As in one pytest process: a module of the name is loaded, or comes first on the path."""
    write(
        {
            "tests/model_d.py": "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self): super().__init__(2, 1)\n",
            "model_d.py": "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self): super().__init__(2, 5)\n",
        }
    )
    sys.path.insert(0, str(Path("tests").resolve()))
    assert load("model_d.py")[0].model().out_features == 5
    assert load("tests/model_d.py")[0].model().out_features == 1
    assert load("model_d.py")[0].model().out_features == 5


@pytest.mark.slow
def test_neighbours_of_a_file_are_its_own_where_several_are_checked() -> None:
    from gradcheck_health.targets.importing import own_imports

    write(
        {
            f"{folder}/{name}": text
            for folder, width in (("one", 3), ("two", 7))
            for name, text in {"net_e.py": ANOTHER.format(helper="parts_e"), "parts_e.py": f"WIDTH = {width}\n"}.items()
        }
    )
    for folder, width in (("one", 3), ("two", 7), ("one", 3)):
        with own_imports(Path(folder) / "net_e.py"):
            assert load(f"{folder}/net_e.py")[0].model().out_features == width
    assert sys.modules["parts_e"].WIDTH == 3, "what was imported first is there again"


def test_module_that_puts_another_in_its_place_is_not_taken_for_the_file() -> None:
    write({"other_f.py": MODELS, "swap_f.py": "import sys, other_f\nsys.modules[__name__] = other_f\n"})
    with pytest.raises(ModelError, match=r"swap_f\.py: importing it gave another file, .*other_f\.py: nothing was checked"):
        load("swap_f.py")


@pytest.mark.parametrize(
    ("text", "where", "name"),
    [
        ("folder::x/model.py", "folder::x/model.py", None),
        ("folder::x/model.py:Net", "folder::x/model.py", "Net"),
        ("a:b.py", "a:b.py", None),
        ("a:b.py::Net", "a:b.py", "Net"),
        ("C:\\nets\\model.py:Net", "C:\\nets\\model.py", "Net"),
    ],
)
def test_colons_in_the_names_of_files_and_folders(text: str, where: str, name: str | None) -> None:
    assert Target.parse(text) == Target(where, name)
