"""Imports point one way: values, leaves, composition, front ends. The order is the architecture, so a test holds it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gradcheck_health

PACKAGE = Path(gradcheck_health.__file__).parent
NAME = "gradcheck_health"

LAYERS = (
    {"trace", "measurements", "evidence", "profile", "change", "declared", "report", "codec", "batch", "errors", "memory"},
    {"inputs", "probe", "rules", "remedies", "formats", "baseline", "config", "loading", "checkpoint"},
    {"check"},
    {"cli", "pytest_plugin", "isolation", "watch"},
)
RANK = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}
# Files that are part of a unit.
PART_OF = {
    "accept": "check",
    "inline": "check",
    "causes": "check",
    "examine": "check",
    "forked": "check",
    "held": "check",
    "infer": "check",
    "config_check": "config",
    "config_schema": "config",
    "overrides": "config",
    "toml_lines": "config",
    "config_files": "config",
    "strict_yaml": "config",
    "importing": "loading",
    "building": "loading",
    "offers": "loading",
    "commands": "cli",
    "__main__": "cli",
    "worker": "isolation",
    "nursery": "isolation",
    "forker": "isolation",
    "stacks": "isolation",
    "supervision": "isolation",
    "alignment": "rules",
    "comparison": "rules",
    "explain": "rules",
    "presets": "rules",
    "profiling": "rules",
    "flow": "rules",
    "gate": "rules",
    "odds": "rules",
    "halfness": "rules",
    "recurrence": "rules",
    "zeros": "rules",
}
# A leaf knows no other leaf, apart from these: settings name the options of rules, a baseline is compared as a rule does it,
# inputs are tried in the probe's sandbox, a document may carry the description of a rule, and a report can draw itself
# (`report.plot()` and what a notebook shows: imported on call).
SIBLINGS = {
    "report": {"formats"},
    "config": {"rules"},
    "baseline": {"rules"},
    "inputs": {"probe"},
    "checkpoint": {"probe"},
    "formats": {"rules"},
}
# The only file that knows a library, so that a front end can be changed without the others.
KEEPERS = {
    "click": {"cli"},
    "rich_click": {"cli"},
    "pytest": {"pytest_plugin"},
    "pydantic": {"config"},
    "yaml": {"config"},
    "filelock": {"baseline"},
}


def unit_of(file: Path, package: Path) -> str:
    name = file.relative_to(package).parts[0].removesuffix(".py")
    return PART_OF.get(name, name)


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every imported module, also inside functions, and the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module, node.lineno
            if module == NAME:  # from gradcheck_health import trace
                yield from ((f"{NAME}.{alias.name}", node.lineno) for alias in node.names)


def outside_examples(tree: ast.Module) -> ast.Module:
    """Without the example models of a rule, the functions that may know torch, and their annotations."""

    def apart(node: ast.stmt) -> bool:
        if isinstance(node, ast.If):
            return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return isinstance(node, ast.FunctionDef) and node.name in ("healthy", "sick", "before")

    return ast.Module(body=[node for node in tree.body if not apart(node)], type_ignores=[])


def violations(package: Path) -> list[str]:
    """`file:line: what`, for every import that points the wrong way."""
    found = []
    for file in sorted(package.rglob("*.py")):
        unit = unit_of(file, package)
        if unit == "__init__":
            continue
        if unit not in RANK:
            found.append(f"{file.name}:1: no layer is given for {unit!r}: add it to LAYERS")
            continue
        tree = ast.parse(file.read_text())
        where = file.relative_to(package)
        found += [f"{where}:{line}: {why}" for module, line in imports(tree) if (why := wrong_way(unit, module))]
        if unit in ("rules", "formats"):
            body = outside_examples(tree) if unit == "rules" else tree
            found += [
                f"{where}:{line}: {unit} know no torch" for module, line in imports(body) if module.split(".")[0] == "torch"
            ]
    return found


def wrong_way(unit: str, module: str) -> str | None:
    top, _, rest = module.partition(".")
    if top in KEEPERS and unit not in KEEPERS[top]:
        return f"{unit} imports {top}, which only {', '.join(sorted(KEEPERS[top]))} may know"
    target = rest.partition(".")[0]
    target = PART_OF.get(target, target)
    if top != NAME or target not in RANK or target == unit:
        return None
    if RANK[target] < RANK[unit] or (RANK[unit] in (0, len(LAYERS) - 1) and RANK[target] == RANK[unit]):
        return None
    if target in SIBLINGS.get(unit, set()):
        return None
    return f"{unit} imports {target}, which stands beside or above it"


def test_imports_point_one_way() -> None:
    assert violations(PACKAGE) == []


def test_package_itself_imports_nothing_at_once() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {module for node in at_once for module, _ in imports(node)}
    assert {module for module in modules if module.split(".")[0] not in ("__future__", "importlib", "typing")} == set()


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("trace.py", "from gradcheck_health.probe import probe", "trace imports probe"),
        ("trace.py", "from gradcheck_health import check", "trace imports check"),
        ("rules/new.py", "import gradcheck_health.probe.graph", "rules imports probe"),
        ("rules/new.py", "def new(trace):\n    from gradcheck_health.inputs import plan", "rules imports inputs"),
        ("rules/new.py", "def new(trace):\n    import torch", "rules know no torch"),
        ("rules/new.py", "if True:\n    from torch import nn", "rules know no torch"),
        ("odds.py", "import torch", "rules know no torch"),
        ("formats/new.py", "from torch import nn", "formats know no torch"),
        ("formats/new.py", "def healthy():\n    import torch", "formats know no torch"),
        ("probe/new.py", "from gradcheck_health.check import check_gradients", "probe imports check"),
        ("check.py", "import gradcheck_health.cli", "check imports cli"),
        ("check.py", "import click", "check imports click"),
        ("probe/new.py", "import pytest", "probe imports pytest"),
        ("helpers.py", "", "no layer is given for 'helpers'"),
    ],
)
def test_planted_violation_is_caught(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    (found,) = violations(tmp_path)
    assert complaint in found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("rules/new.py", "def sick():\n    import torch\n    return torch.nn.Identity()"),
        ("rules/new.py", "if TYPE_CHECKING:\n    from torch import nn"),
        ("rules/new.py", "from gradcheck_health.report import Finding, Need"),
        ("probe/new.py", "import torch\nfrom gradcheck_health.probe.graph import walk"),
        ("cli/new.py", "import click\nfrom gradcheck_health.isolation import run"),
        ("__init__.py", "from gradcheck_health.check import check_gradients"),
    ],
)
def test_right_way_is_let_pass(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert violations(tmp_path) == []
