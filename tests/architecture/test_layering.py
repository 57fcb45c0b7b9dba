"""What the contracts of import-linter (pyproject.toml, run by `lint-imports`) cannot say of the house.

They hold which room may import which. Here: which room knows which library, that rules, formats and what is loaded first are
light, and that no file and no folder outgrows its room.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gradcheck_health

PACKAGE = Path(gradcheck_health.__file__).parent
NAME = "gradcheck_health"
MOST_NAMES = 14
"""At the top of the package."""
MOST_LINES = 250
"""Of a file."""
KEEPERS = {
    "click": "cli",
    "pytest": "pytest_plugin",
    "pydantic": "settings",
    "yaml": "settings",
    "filelock": "records",
    "jinja2": "formats",
    "matplotlib": "formats",
}
"""The only room that knows a library, so that it can be changed without the others."""
WITHOUT_TORCH = ("records", "baseline", "rules", "formats", "settings", "pytest_plugin")
"""Rooms that handle values and text; a rule's example models are the exception."""


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every imported module, also inside functions, and the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno


def outside_examples(tree: ast.Module) -> ast.Module:
    """Without the example models of a rule, the functions that may know torch, and their annotations."""

    def apart(node: ast.stmt) -> bool:
        if isinstance(node, ast.If):
            return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return isinstance(node, ast.FunctionDef) and node.name in ("healthy", "sick", "before")

    return ast.Module(body=[node for node in tree.body if not apart(node)], type_ignores=[])


def violations(package: Path) -> list[str]:
    """`file:line: what`, for every import that a room may not have, and every file that is too long."""
    found = []
    for file in sorted(package.rglob("*.py")):
        where = file.relative_to(package)
        room = where.parts[0].removesuffix(".py")
        text = file.read_text()
        tree = ast.parse(text)
        if (lines := len(text.splitlines())) > MOST_LINES:
            found.append(f"{where}: {lines} lines, at most {MOST_LINES}: split it by what changes together")
        for module, line in imports(tree):
            top = module.partition(".")[0]
            if KEEPERS.get(top, room) != room:
                found.append(f"{where}:{line}: {room} imports {top}, which only {KEEPERS[top]} may know")
            if where.parent.name in ("rules", "formats") and _a_sibling(where, module):
                found.append(f"{where}:{line}: imports {module}: what two of them share stands in a file of its own")
        body = outside_examples(tree) if room == "rules" else tree
        if room in WITHOUT_TORCH:
            found += [
                f"{where}:{line}: {room} knows no torch" for name, line in imports(body) if name.partition(".")[0] == "torch"
            ]
    return found


def _a_sibling(where: Path, module: str) -> bool:
    """A plugin imports another plugin of its folder; files whose names begin with an underscore are none."""
    beside = f"{NAME}.{where.parent.name}."
    other = module.removeprefix(beside).partition(".")[0]
    plugins = {path.stem for path in (PACKAGE / where.parent).glob("*.py")}
    return module.startswith(beside) and not other.startswith("_") and not where.name.startswith("_") and other in plugins


@pytest.mark.slow
def test_rooms_import_what_stands_below_them() -> None:
    """`lint-imports`, which CI runs by itself, too: whoever runs pytest alone learns of it here."""
    pytest.importorskip("importlinter", reason="the extra dev brings it")
    command = "import sys; from importlinter.cli import lint_imports_command as lint; sys.exit(lint(['--no-cache']))"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_rooms_know_their_libraries_and_no_others() -> None:
    assert violations(PACKAGE) == []


def test_top_of_the_package_can_be_read_at_a_glance() -> None:
    names = [path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py") and path.name != "__pycache__"]
    assert len(names) <= MOST_NAMES, sorted(names)


def test_package_itself_imports_nothing_at_once() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {module for node in at_once for module, _ in imports(node)}
    assert {module for module in modules if module.split(".")[0] not in ("__future__", "importlib", "typing")} == set()


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("rules/new.py", "def new(trace):\n    import torch", "rules knows no torch"),
        ("rules/new.py", "if True:\n    from torch import nn", "rules knows no torch"),
        ("rules/analysis/new.py", "import torch", "rules knows no torch"),
        ("rules/new.py", f"from {NAME}.rules.dead_unit import SQUASHING", "what two of them share"),
        ("formats/new.py", f"from {NAME}.formats.terminal import render", "what two of them share"),
        ("formats/new.py", "from torch import nn", "formats knows no torch"),
        ("formats/new.py", "def healthy():\n    import torch", "formats knows no torch"),
        ("records/new.py", "import torch", "records knows no torch"),
        ("check/new.py", "import click", "check imports click, which only cli may know"),
        ("probe/new.py", "import pytest", "probe imports pytest"),
        ("cli/commands/new.py", "import yaml", "cli imports yaml"),
        ("probe/new.py", "pass\n" * (MOST_LINES + 1), "251 lines, at most 250"),
    ],
)
def test_planted_violation_is_caught(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / file).write_text(text)
    (found,) = violations(tmp_path)
    assert complaint in found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("rules/new.py", "def sick():\n    import torch\n    return torch.nn.Identity()"),
        ("rules/new.py", "if TYPE_CHECKING:\n    from torch import nn"),
        ("rules/new.py", f"from {NAME}.rules.analysis.flow import vanished"),
        ("probe/new.py", "import torch"),
        ("cli/new.py", "import click"),
        ("formats/new.py", f"from {NAME}.formats._wording import places"),
    ],
)
def test_right_way_is_let_pass(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / file).write_text(text)
    assert violations(tmp_path) == []
