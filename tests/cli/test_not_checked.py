"""What could not be checked is never green: it is counted, with its reason, in every format and in pytest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gradcheck_health import cli
from tests.cli.faults.fault import SOUND, model

UNCHECKED = {
    "needs_argument.py": SOUND.replace("(self)", "(self, key)").replace("super()", "key.no_such_thing; super()", 1),
    "misspelt_comment.py": SOUND.replace("nn.Linear(8, 2))", "nn.Linear(8, 2))  # gradhealth: ignore[no-such-rule]"),
    "layers_in_a_list.py": model("return self.layers[0](x)", init="del self.inner; self.layers = [nn.Linear(4, 2)]"),
    "plain_tensor.py": model("return x @ self.w", init="del self.inner; self.w = torch.ones(4, 2, requires_grad=True)"),
    "global_layer.py": model("return LAYER(x)", init="del self.inner", before="LAYER = nn.Linear(4, 2)").replace(
        "LAYER", "_LAYER"
    ),
    "frozen.py": model(init="self.requires_grad_(False)"),
    "integers.py": model(
        init="self.inner.weight = nn.Parameter(torch.ones(2, 4, dtype=torch.int8), False); del self.inner.bias"
    ),
    "no_super.py": "from torch import nn\nclass Net(nn.Module):\n    def __init__(self): self.width = 4\n"
    "    def forward(self, x): return x\n",
    "no_model_made.py": "from torch import nn\ndef build():\n    return [nn.Linear(2, 2)]\n",
    "conflict.py": SOUND,
}
"""Each for another reason; `conflict.py` because its baseline holds the markers of a merge."""
HELPERS = {
    "helper.py": "from torch import nn\nclass Swish(nn.Module):\n    def forward(self, x): return x * x.sigmoid()\n",
    "beside.py": f"{SOUND}\nclass Swish(nn.Module):\n    def forward(self, x): return x * x.sigmoid()\n",
    "data.py": "class Data(dict): pass\n",
}
OUTPUTS = (
    "out.sarif",
    "out.xml",
    "out.github.txt",
    "out.gitlab.json",
    "out.txt",
    "out.md",
    "out.json",
    "out.concise.txt",
    "o.html",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "CI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "models").mkdir()
    return tmp_path


def lay(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / "models" / name).write_text(text)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        return int(caught.value.code or 0), *capfd.readouterr()

    return call


def settings(folder: Path) -> None:
    """A baseline for one of the models, as a merge left it."""
    (folder / "gradhealth.yaml").write_text(
        "models: [models]\noverrides:\n  - models: ['models/conflict.py*']\n    baseline: conflict.json\n"
    )
    (folder / "conflict.json").write_text("<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n")


@pytest.mark.slow
def test_ten_that_cannot_be_checked_are_ten_rows_in_every_format(
    folder: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    lay(folder, {**UNCHECKED, **HELPERS, "sound.py": SOUND})
    settings(folder)
    code, out, err = run("check", "models", *(part for name in OUTPUTS for part in ("-o", name)))
    assert code == 2
    assert "2 checked: 2 healthy, 0 unhealthy, 10 not checked" in out
    rows = [line for line in out.splitlines() if line.startswith("not checked: ")]
    assert {Path(row.split(": ")[1].partition(":")[0]).name for row in rows} == set(UNCHECKED)
    assert len({row.partition(": ")[2].partition(": ")[2] for row in rows}) == 10, "each has its own reason"
    assert "skipped 2 targets with nothing to train" in err, "not the helper beside a model"

    document = json.loads(Path("out.json").read_text())
    assert (document["exit_code"], len(document["failures"]), len(document["reports"])) == (2, 10, 2)
    (invocation,) = json.loads(Path("out.sarif").read_text())["runs"][0]["invocations"]
    assert len(invocation["toolExecutionNotifications"]) == 10
    assert not invocation["executionSuccessful"]
    assert ET.parse("out.xml").getroot().get("errors") == "10"
    assert Path("out.github.txt").read_text().count("::error file=models/") == 10
    assert sum(issue["check_name"] == "not-checked" for issue in json.loads(Path("out.gitlab.json").read_text())) == 10
    for name in ("out.txt", "out.concise.txt"):
        assert sum("not checked: " in line for line in Path(name).read_text().splitlines()) == 10
    assert Path("out.md").read_text().count("**not checked**") == 10
    assert Path("o.html").read_text().count(">not checked</span>") == 10


@pytest.mark.slow
def test_pytest_counts_them_too(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    folder = pytester.path
    pytester.mkdir("models")
    lay(folder, {**UNCHECKED, **HELPERS, "sound.py": SOUND, "leaves.py": f"{SOUND}\nimport os; os._exit(0)\n"})
    settings(folder)
    result = pytester.runpytest_subprocess("--gradhealth-report", "out.json")
    assert result.ret == 1
    result.assert_outcomes(failed=11, passed=2, skipped=2)
    assert sum(line.startswith("not checked models/") for line in result.outlines) == 11
    assert "2 checked: 2 healthy, 0 sick, 11 not checked" in result.outlines
    assert len(json.loads((folder / "out.json").read_text())["failures"]) == 11


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("models/beside.py", 0, ""),
        ("models/helper.py", 2, "Swish has no parameters"),
        ("models/beside.py:Swish", 2, "Swish has no parameters"),
        ("models/data.py", 2, "no model in it"),
    ],
)
def test_helper_without_parameters_is_no_target_unless_it_is_named(
    target: str, code: int, words: str, folder: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    lay(folder, HELPERS)
    found, _, err = run("check", target)
    assert (found, words in err) == (code, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "checked"),
    [
        ({"a.py": SOUND + "class Other(nn.Module):\n    def __init__(self, dim):\n        super().__init__()\n"
          "        self.f = nn.Linear(dim, 2)\n    def forward(self, x): return self.f(x)\n"}, ["a.py:Net", "a.py:Other"]),
        ({"a.py": "import torch.nn as nn\nnet = nn.Sequential(nn.Linear(3, 2))\n"}, ["a.py:net"]),
        ({"a.py": "try:\n    from torch import nn\n    class Net(nn.Linear):\n"
          "        def __init__(self): super().__init__(3, 2)\nexcept ImportError:\n    pass\n"}, ["a.py:Net"]),
        ({"a.py": "from torch import nn\ndef create_model(width=3): return nn.Linear(width, 2)\n"}, ["a.py:create_model"]),
        ({"a:b.py": SOUND}, ["a:b.py:Net"]),
        ({"x::y/model.py": SOUND}, ["x::y/model.py:Net"]),
        ({"build/__init__.py": "", "build/net.py": SOUND}, ["build/net.py:Net"]),
    ],
)  # fmt: skip
def test_nothing_of_a_folder_is_left_out(
    files: dict[str, str], checked: list[str], folder: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    for name in files:
        (folder / "models" / name).parent.mkdir(exist_ok=True)
    lay(folder, files)
    code, out, _ = run("check", "models", "--output-format", "json")
    document = json.loads(out)
    assert [one["target"] for one in document["reports"]] == [f"models/{name}" for name in checked]
    assert (code, document["failures"]) == (0, [])


def test_links_are_followed_and_each_file_is_checked_once(folder: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "net.py").write_text(SOUND)
    (folder / "models" / "linked").symlink_to("../elsewhere")
    (folder / "models" / "again").symlink_to("../elsewhere")
    (folder / "elsewhere" / "loop").symlink_to("../models")
    (folder / "models" / "gone.py").symlink_to("nowhere.py")
    code, out, _ = run("check", "models", "--output-format", "json")
    document = json.loads(out)
    assert [one["target"] for one in document["reports"]] == ["models/again/net.py:Net"]
    assert [one["target"] for one in document["failures"]] == ["models/gone.py"]
    assert code == 2


@pytest.mark.slow
def test_pytest_checks_the_file_that_is_named(pytester: pytest.Pytester) -> None:
    """Beside a test of the same name, which pytest has imported; and each of two of one name with its own neighbours."""
    bad = SOUND.replace("nn.ReLU()", "nn.Dropout(1.0)")
    pytester.mkdir("tests")
    pytester.mkdir("other")
    texts = {
        "model.py": f"from parts import width\n{bad}",
        "parts.py": "width = 8\n",
        "tests/model.py": f"from parts import width\n{SOUND}",
        "tests/parts.py": "width = 8\n",
        "tests/test_model.py": "import model\ndef test_it(): assert model.Net()\n",
        "other/model.py": SOUND.replace("nn.Linear(4, 8)", "nn.Linear(5, 8)"),
        "gradhealth.yaml": "models: [model.py, tests/model.py, other/model.py]\n",
    }
    for name, text in texts.items():
        (pytester.path / name).write_text(text)
    result = pytester.runpytest_subprocess("tests", "gradhealth.yaml")
    assert [line.split("  ")[-1] for line in result.outlines if line.startswith(("sick ", "healthy "))] == [
        "gradhealth.yaml::model.py",
        "gradhealth.yaml::tests/model.py",
        "gradhealth.yaml::other/model.py",
    ]
    assert [line.split()[0] for line in result.outlines if line.startswith(("sick ", "healthy "))] == [
        "sick",
        "healthy",
        "healthy",
    ]
    result.assert_outcomes(passed=3, failed=1)
