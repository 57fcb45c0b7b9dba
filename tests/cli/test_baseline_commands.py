"""The commands of the gate, as people type them: baselines, diffs, changed targets, and the fixture's own baselines."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gradcheck_health import Report, baseline, check_gradients
from gradcheck_health.baseline import files
from gradcheck_health.cli.commands.check import _changed
from gradcheck_health.records.errors import UsageError
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.changed import Changes, files_named_in
from tests.support.command import gradhealth

MODEL = """
from torch import nn
from parts.act import act

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.act, self.two = nn.Linear(8, 16), act(), nn.Linear(16, 2)
        self.aux = nn.Linear(1, 1)

    def forward(self, x):
        return self.two(self.act(self.one(x)))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "act.py").write_text("from torch.nn import ReLU as act\n")
    return tmp_path


@pytest.mark.slow
def test_baseline_from_first_to_last(folder: Path) -> None:
    missing = gradhealth("check", "net.py", "--baseline")
    assert missing.returncode == 2
    assert "gradhealth baseline write net.py:Net" in missing.stderr
    written = gradhealth("baseline", "write", "net.py", "--reason", "kept for later")
    assert (written.returncode, written.stderr) == (0, "")
    path = files.path_for(".gradhealth", "net.py:Net")
    assert set(files.read(path).accepted.values()) == {"kept for later"}
    again = gradhealth("baseline", "write", "net.py")
    assert again.returncode == 2
    assert "--force does not" in again.stderr
    refused = gradhealth("baseline", "update", "net.py", CI="true")
    assert refused.returncode == 2
    assert "CI is set" in refused.stderr
    shown = gradhealth("baseline", "show", "net.py:Net")
    assert "missing-gradient:aux.weight: kept for later" in shown.stdout
    (folder / "gradhealth.yaml").write_text("baseline: .gradhealth\n")
    (folder / "deep").mkdir()
    assert gradhealth("check", "net.py").returncode == 0
    assert gradhealth("check", "net.py", "--no-baseline").returncode == 1
    path.write_text(path.read_text()[:100])
    broken = gradhealth("baseline", "check", "net.py")
    assert broken.returncode == 2
    assert f"baseline {path}: it is cut off or no JSON" in broken.stderr


@pytest.mark.slow
def test_diff_of_reports_baselines_and_targets(folder: Path) -> None:
    gradhealth("check", "net.py", "-o", "before.json")
    gradhealth("baseline", "write", "net.py", "--baseline", "before.baseline.json")
    same = gradhealth("diff", "before.json", "net.py", "--output-format", "json")
    assert same.returncode == 0, same.stdout + same.stderr
    (report,) = json.loads(same.stdout)["reports"]
    assert report["ok"]
    assert [f["suppressed"] for f in report["findings"] if f["rule"] == "missing-gradient"] == ["in before.json too"]
    text = MODEL.replace("self.act(self.one(x))", "self.act(0.01 * self.one(x))").replace(
        "        self.aux = nn.Linear(1, 1)\n", ""
    )
    (folder / "net.py").write_text(text)
    worse = gradhealth("diff", "before.baseline.json", "net.py", "-o", "diff.json", "-o", "diff.sarif")
    assert worse.returncode == 1
    assert "regressed-gradient" in worse.stdout
    (report,) = json.loads((folder / "diff.json").read_text())["reports"]
    assert Report.from_dict(report).change is not None
    assert {entry["rule"] for entry in report["change"]["gone"]} == {"missing-gradient"}
    assert {(entry["how"], entry["name"]) for entry in report["change"]["structure"]} >= {("removed", "aux.weight")}
    assert gradhealth("diff", "before.json", "nothing.json").returncode == 2


@pytest.mark.slow
def test_baseline_of_another_model_is_not_overwritten(folder: Path) -> None:
    """Two models of one file, and one baseline for both: the reasons of the first are kept."""
    (folder / "net.py").write_text(f"{MODEL}\nclass Other(Net): pass\n")
    first = gradhealth("baseline", "write", "net.py:Net", "--baseline", "b.json", "--reason", "kept for later")
    assert first.returncode == 0, first.stderr
    before = (folder / "b.json").read_text()
    both = gradhealth("baseline", "update", "net.py", "--baseline", "b.json")
    assert both.returncode == 2
    assert "b.json is the baseline of net.py:Net, not of net.py:Other: give a folder" in both.stderr
    assert (folder / "b.json").read_text() == before
    forced = gradhealth("baseline", "write", "net.py", "--baseline", "c.json", "--force")
    assert forced.returncode == 2
    assert files.read(folder / "c.json").target == "net.py:Net"


def test_wrong_use_is_reported() -> None:
    for arguments, words in (
        (("check", "a.py", "--fail-if", "flw:-1dec"), "did you mean 'flow'?"),
        (("baseline", "wrote", "a.py"), "wrote"),
        (("baseline", "show", "nowhere/"), "nowhere"),
    ):
        done = gradhealth(*arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr


# ---- --changed-since


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(folder: Path) -> Path:
    (folder / "other.py").write_text("import torch\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [
        ("net.py", MODEL + "\n", True),
        ("parts/act.py", "from torch.nn import GELU as act\n", True),
        ("parts/__init__.py", "import math\n", True),
        ("parts/act.py", None, True),
        ("parts/act/__init__.py", "from torch.nn import GELU as act\n", True),
        ("other.py", "import sys\n", False),
        ("new.py", "", False),
        ("parts/new.py", "", False),
    ],
)
def test_change_within_the_imports_is_seen(repository: Path, file: str, text: str | None, changed: bool) -> None:
    path = repository / file
    if text is None:
        path.unlink()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found, why = Changes.since("HEAD", repository).why("net.py:Net")
    assert found == changed
    assert why == (f"{file} changed" if changed else "unchanged since HEAD (3 files, its imports included)")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("import importlib\nimportlib.import_module(NAME)", "net.py:2 imports a name that is only known at run time"),
        ("def broken(:", "net.py cannot be read as Python"),
    ],
)
def test_what_cannot_be_known_is_checked(repository: Path, line: str, why: str) -> None:
    (repository / "net.py").write_text(line)
    git(repository, "commit", "-qam", "second")
    assert Changes.since("HEAD", repository).why("net.py") == (True, why)


def test_relative_and_named_imports_are_followed(repository: Path) -> None:
    (repository / "parts" / "deep").mkdir()
    (repository / "parts" / "deep" / "__init__.py").write_text("from ..act import act\n")
    (repository / "net.py").write_text("import importlib\ndeep = importlib.import_module('parts.deep')\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "second")
    assert not Changes.since("HEAD", repository).why("net.py")[0]
    (repository / "parts" / "act.py").write_text("act = None\n")
    assert Changes.since("HEAD", repository).why("net.py") == (True, "parts/act.py changed")
    assert Changes.since("HEAD", repository).why("parts.deep:build") == (True, "parts/act.py changed")


def test_settings_and_the_baseline_belong_to_a_target(repository: Path) -> None:
    assert not Changes.since("HEAD", repository).why("net.py")[0]
    (repository / "gradhealth.yaml").write_text("seed: 1\n")
    assert Changes.since("HEAD", repository).why("net.py") == (True, "gradhealth.yaml changed")


HELPER = "ACT = 'relu'\n"
READS = {
    "path inserted": "import sys\nsys.path.insert(0, 'lib')\nfrom helper import ACT\n",
    "path of another name": "from sys import path as p\np.insert(0, 'lib')\nfrom helper import ACT\n",
    "module handed on": "import sys\ndef add(m): m.path.insert(0, 'lib')\nadd(sys)\nfrom helper import ACT\n",
    "site": "import site\nsite.addsitedir('lib')\nfrom helper import ACT\n",
    "spec from a file": "from importlib.util import spec_from_file_location, module_from_spec\n"
    "s = spec_from_file_location('h', 'lib/helper.py')\nm = module_from_spec(s); s.loader.exec_module(m); ACT = m.ACT\n",
    "runpy": "import runpy\nACT = runpy.run_path('lib/helper.py')['ACT']\n",
    "import_module of another name": "import importlib as im\nACT = im.import_module('lib.' + 'helper').ACT\n",
    "import_module by a variable": "from importlib import import_module as load_it\nACT = load_it('lib.' + 'helper').ACT\n",
    "the builtin": "ACT = __import__('lib.helper', fromlist=['ACT']).ACT\n",
    "the builtin by getattr": "import builtins\nACT = getattr(builtins, '__imp' + 'ort__')('lib.helper', fromlist=['x']).ACT\n",
    "exec": "exec(open('lib/helper.py').read())\n",
    "eval": "scope = {}\neval(compile(open('lib/helper.py').read(), 'x', 'exec'), scope)\nACT = scope['ACT']\n",
    "pathlib": "from pathlib import Path\nscope = {}\nACT = Path('lib', 'helper.py').read_text().split(\"'\")[1]\n",
    "a file that is there or not": "import os\nACT = 'relu' if os.path.exists('lib/helper.py') else 'tanh'\n",
    "environment": "import os\nACT = os.environ.get('ACT', 'relu')\n",
    "environment by getenv": "from os import getenv\nACT = getenv('ACT', 'relu')\n",
    "torch.load": "import torch\nACT = torch.load('lib/act.pt')\n",
    "numpy": "import numpy as np\nACT = np.loadtxt('lib/act')\n",
    "yaml": "import yaml\nACT = yaml.safe_load('a: 1')\n",
    "a name of data": "import torch\nACT = torch.jit.script\nCONFIG = 'lib/act.yaml'\n",
    "subprocess": "import subprocess\nACT = subprocess.getoutput('cat lib/act')\n",
    "zipimport": "import zipimport\n",
    "a package's own path": "__path__ = ['lib']\n",
    "pkgutil": "import pkgutil\nACT = pkgutil.get_data('lib', 'act')\n",
    "resources": "import importlib.resources\nACT = importlib.resources.files('lib')\n",
}


@pytest.mark.parametrize("name", READS)
def test_code_that_may_read_what_is_not_followed_is_checked(repository: Path, name: str) -> None:
    """Nothing changed at all, and still nothing is proven."""
    (repository / "lib").mkdir()
    (repository / "lib" / "helper.py").write_text(HELPER)
    (repository / "net.py").write_text(READS[name] + MODEL)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "second")
    checked, why = Changes.since("HEAD", repository).why("net.py")
    assert checked, why
    assert why.startswith("net.py:")


def test_usual_model_is_followed(repository: Path) -> None:
    """What research code imports and does not read."""
    text = "import math, os, sys\nfrom dataclasses import dataclass\nfrom typing import Any\nimport torch.nn.functional as F\n"
    text += "if sys.version_info < (3, 8) or os.cpu_count() is None: print(os.path.join('a', 'b'))\n"
    text += "net_eval = lambda m: m.eval()\n"
    (repository / "net.py").write_text(text + MODEL)
    git(repository, "commit", "-qam", "second")
    assert Changes.since("HEAD", repository).why("net.py")[1] == "unchanged since HEAD (3 files, its imports included)"


def _ignored(folder: Path) -> None:
    (folder / ".gitignore").write_text("generated.py\n")
    (folder / "generated.py").write_text("WIDTH = 1\n")
    (folder / "net.py").write_text("from generated import WIDTH\n" + MODEL)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "second")


def _assumed(folder: Path, flag: str) -> None:
    git(folder, "update-index", flag, "parts/act.py")
    (folder / "parts" / "act.py").write_text("from torch.nn import GELU as act\n")


def _submodule(folder: Path) -> None:
    (folder / "vendor").mkdir()
    (folder / "vendor" / "__init__.py").write_text("")
    git(folder / "vendor", "init", "-q")
    git(folder / "vendor", "add", "-A")
    git(folder / "vendor", "commit", "-qm", "first")
    (folder / "net.py").write_text("import vendor\n" + MODEL)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "second")


def _linked(folder: Path) -> None:
    (folder / "parts").rename(folder / "real")
    (folder / "parts").symlink_to("real")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "second")


def _compiled(folder: Path) -> None:
    (folder / "fast.cpython-311-x86_64-linux-gnu.so").write_bytes(b"")
    (folder / "fast.abi3.so").write_bytes(b"")
    (folder / "net.py").write_text("import fast\n" + MODEL)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "second")


SURROUNDINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an ignored file": (_ignored, "generated.py changed"),
    "assume-unchanged": (lambda folder: _assumed(folder, "--assume-unchanged"), "parts/act.py changed"),
    "skip-worktree": (lambda folder: _assumed(folder, "--skip-worktree"), "parts/act.py changed"),
    "a submodule": (_submodule, "vendor/__init__.py changed"),
    "a linked folder": (_linked, "parts/__init__.py changed"),
    "a compiled module": (_compiled, "net.py:1 imports fast, which is compiled"),
    "a conftest beside": (lambda folder: (folder / "conftest.py").write_text(""), "conftest.py changed"),
    "installed packages": (lambda folder: (folder / "requirements.txt").write_text("torch\n"), "requirements.txt changed"),
    "mode of a file kept": (lambda folder: (folder / "net.py").write_text(MODEL + "# x\n"), "net.py changed"),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_what_git_does_not_tell_is_no_proof(repository: Path, name: str) -> None:
    prepare, why = SURROUNDINGS[name]
    prepare(repository)
    assert Changes.since("HEAD", repository).why("net.py") == (True, why)


@pytest.mark.slow
def test_files_that_settings_and_options_name_belong_to_a_target(repository: Path) -> None:
    (repository / "w.pt").write_bytes(b"1")
    (repository / "x.npz").write_bytes(b"1")
    (repository / "rules_of_mine.py").write_text("")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "second")
    table = {"checkpoint": {"file": "w.pt"}, "overrides": [{"models": ["*"], "inputs": {"x": "x.npz:images"}}]}
    for name in ("w.pt", "x.npz"):
        assert Path(name) in list(files_named_in(table, Path()))
        assert not Changes.since("HEAD", repository).why("net.py", [Path(name)])[0]
        (repository / name).write_bytes(b"2")
        assert Changes.since("HEAD", repository).why("net.py", [Path(name)]) == (True, f"{name} changed")
    assert not Changes.since("HEAD", repository).why("net.py", (), ["rules_of_mine"])[0]
    (repository / "rules_of_mine.py").write_text("x = 1\n")
    assert Changes.since("HEAD", repository).why("net.py", (), ["rules_of_mine"]) == (True, "rules_of_mine.py changed")


def test_no_baseline_or_another_one_is_checked(repository: Path) -> None:
    sources: list[Source] = []
    config = dataclasses.replace(Config(), baseline=".gradhealth")
    assert _changed([("net.py", False)], "HEAD", sources, config)[0] == [("net.py", False)], "there is none"
    path = files.path_for(".gradhealth", "net.py:Net")
    path.parent.mkdir()
    path.write_text("{}")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "second")
    assert _changed([("net.py", False)], "HEAD", sources, config)[0] == []
    path.write_text("{} ")
    assert _changed([("net.py", False)], "HEAD", sources, config)[0] == [("net.py", False)]


def test_programs_that_a_repository_configures_are_not_run(repository: Path) -> None:
    for key in ("core.fsmonitor", "core.sshCommand", "diff.external", "filter.x.clean", "core.pager"):
        git(repository, "config", key, f"touch {repository / 'run'}; true")
    (repository / ".gitattributes").write_text("*.py filter=x diff=x\n")
    git(repository, "config", "diff.x.textconv", f"touch {repository / 'run'}; cat")
    Changes.since("HEAD", repository).why("net.py")
    assert not (repository / "run").exists()


def test_unknown_revision_and_no_repository_are_reported(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UsageError, match="git knows no such revision here"):
        Changes.since("--help", repository)
    with pytest.raises(UsageError, match="not a git repository"):
        Changes.since("HEAD", tmp_path_factory.mktemp("bare"))


# ---- pytest

TEST = """
import pytest
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale
        self.one, self.two, self.aux = nn.Linear(8, 16), nn.Linear(16, 2), nn.Linear(1, 1)

    def forward(self, x):
        return self.two(self.scale * torch.relu(self.one(x)))

@pytest.mark.parametrize("n", range(3))
def test_net(gradhealth, n):
    gradhealth(Net)
    gradhealth(lambda: Net(SCALE))
"""


@pytest.mark.slow
def test_tests_keep_their_baselines(
    pytester: pytest.Pytester, everything_imported: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    plugin = () if _announced() else ("-p", "gradcheck_health.pytest_plugin")
    options = ("-p", "no:cacheprovider", "-W", "default", *plugin)
    path = pytester.makepyfile(test_net=TEST.replace("SCALE", "1.0"))
    pytester.makeini("[pytest]\naddopts = --gradhealth-baseline=kept\n")
    missing = pytester.runpytest_inprocess(*options, "-k", "0")
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*no baseline kept/*--gradhealth-update-new-only*"])
    written = pytester.runpytest_subprocess(*options, "--gradhealth-update", "-n", "2")
    written.assert_outcomes(passed=3)
    written.stdout.fnmatch_lines(["gradhealth: 6 baselines written in kept: review and commit"])
    kept = {file.name: file.read_bytes() for file in (pytester.path / "kept").iterdir()}
    assert len(kept) == 6
    assert all(files.read(pytester.path / "kept" / name).accepted for name in kept)
    path.write_text(TEST.replace("SCALE", "0.01"))
    worse = pytester.runpytest_inprocess(*options, "--gradhealth-update-new-only", "-k", "0")
    worse.assert_outcomes(failed=1)
    worse.stdout.fnmatch_lines(["*regressed-gradient*", "accept: *pytest 'test_net.py::test_net[[]0]' --gradhealth-update"])
    assert {file.name: file.read_bytes() for file in (pytester.path / "kept").iterdir()} == kept
    monkeypatch.setenv("CI", "1")
    refused = pytester.runpytest_inprocess(*options, "--gradhealth-update")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*--gradhealth-update: CI is set*"])


def _announced() -> bool:
    from importlib.metadata import entry_points

    return bool(entry_points(group="pytest11", name="gradhealth"))


@pytest.mark.slow
def test_library_takes_a_file(folder: Path) -> None:
    from torch import nn

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

    path = Path("b.json")
    files.update(path, lambda _: baseline.of(check_gradients(build, facts=["reseeded"]), target="build"))
    report = check_gradients(build, baseline="b.json")
    assert report.change is not None
    assert (report.change.against, report.change.compared, report.change.empty) == ("b.json", 3, True)
    with pytest.raises(UsageError, match=r"no baseline nothing\.json"):
        check_gradients(build, baseline="nothing.json")
