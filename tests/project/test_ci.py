"""CI and the README agree, CI lets nothing skip, and what is declared is what is imported."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gradcheck_health"
IMPORT_NAME = {"pyyaml": "yaml", "rich-click": "rich_click"}
COME_WITH_TORCH = {"networkx", "jinja2", "markupsafe", "filelock"}
OPTIONAL = {"numpy", "torchvision", "timm", "transformers", "matplotlib", "safetensors"} | {
    "accelerate", "keras", "lightning", "pytorch_lightning", "tensorboard", "wandb", "mlflow"
}  # fmt: skip


def ci_script() -> str:
    return (ROOT / ".ci" / "run").read_text()


def test_ci_script_is_executable_bash() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_ci_installs_with_the_readme_command() -> None:
    (expression,) = re.findall(r"sed -n '([^']+)' README.md", ci_script())
    found = subprocess.run(["sed", "-n", expression, ROOT / "README.md"], check=True, capture_output=True, text=True).stdout
    (setup,) = found.splitlines()
    assert f"\n{setup} && .venv/bin/pytest -n auto\n" in (ROOT / "README.md").read_text()
    assert "-c constraints.txt" in setup


def test_ci_ends_with_pytest() -> None:
    assert ci_script().rstrip().splitlines()[-1].startswith('"$venv/bin/pytest"')


def test_torch_is_pinned() -> None:
    assert re.search(r"^torch==\d+\.\d+\.\d+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def third_party_imports(folder: Path) -> set[str]:
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"gradcheck_health", "tomllib"}


@pytest.mark.slow
def test_every_import_is_declared() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    (block,) = re.findall(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    declared = {IMPORT_NAME.get(name, name) for name in re.findall(r'^ +"([\w-]+)', block, re.MULTILINE)}
    assert third_party_imports(PACKAGE) - declared - COME_WITH_TORCH - OPTIONAL == set()


def test_undeclared_import_is_seen(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("def late():\n    import undeclared.part\n")
    assert third_party_imports(tmp_path) == {"undeclared"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "ci", "outcome"),
    [
        ("def test_it(): pytest.skip('no browser')", "1", {"failed": 1}),
        ("def test_it(): pytest.skip('no browser')", "", {"skipped": 1}),
        ("pytest.importorskip('not_installed_anywhere')", "1", {"errors": 1}),
        ("@pytest.mark.cuda\ndef test_it(): pytest.skip('no accelerator')", "1", {"skipped": 1}),
        ("@pytest.mark.xfail\ndef test_it(): assert False", "1", {"xfailed": 1}),
        ("def test_it(): pass", "1", {"passed": 1}),
    ],
)
def test_skip_fails_in_ci_only(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str, ci: str, outcome: dict[str, int]
) -> None:
    monkeypatch.setenv("GRADHEALTH_CI", ci)
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    pytester.makeini("[pytest]\nmarkers = cuda\n")
    pytester.makepyfile(f"import pytest\n{body}\n")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(**outcome)


def test_an_environment_inside_the_project_has_a_name_that_git_ignores() -> None:
    """Any other would be committed with the next change."""
    assert {path.parent.name for path in ROOT.glob("*/pyvenv.cfg")} <= {".venv", "venv"}
