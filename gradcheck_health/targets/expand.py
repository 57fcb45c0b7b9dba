"""Targets as the user typed them -> files and modules to check; nothing is imported."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gradcheck_health.records.errors import UsageError
from gradcheck_health.targets.importing import MAX_BYTES, check_file
from gradcheck_health.targets.load import FACTORIES
from gradcheck_health.targets.target import Target

SKIPPED = ("__pycache__", "node_modules", "site-packages")
BUILT = ("build", "dist", "env", "venv")
"""Folders that tools make, unless Python files of a package stand in them."""


def expand(targets: Sequence[str]) -> list[tuple[str, bool]]:
    """(target, it was found in a directory), each once, in the order given.

    Raises:
        UsageError: a file is not there, or no target was given.
    """
    if not targets:
        raise UsageError("no target: name what to check, as in `gradhealth check model.py` or `gradhealth check model.py:Net`")
    found: dict[str, bool] = {}
    for text in targets:
        target = Target.parse(text)
        folder = Path(target.where)
        if folder.is_dir() and not target.name:
            files = list(_files(folder, set()))
            if not files:
                what = f"a class, a function {', '.join(FACTORIES)}, or an object that was made"
                raise UsageError(f"{text}: no Python file in it defines what may be a model: {what}")
            found.update({file: True for file in files if file not in found})
        else:
            if target.is_file:
                check_file(folder)
            found[str(target)] = False
    return list(found.items())


def seen_from(folder: Path, text: str) -> str:
    """A target that was written down in a file of the folder, as a user would type it here.

    Raises:
        UsageError: see `Target.parse`.
    """
    target = Target.parse(text)
    path = folder / target.where
    if not (target.is_file or path.exists()):
        return str(target)  # the name of a module
    return str(Target(os.path.relpath(path), target.name))


def _files(folder: Path, seen: set[Path]) -> Iterator[str]:
    """Every Python file below a folder that may hold a model, links included; each once, by its real path.

    What cannot be listed or read is among them: it is a target that cannot be checked, not one that is not there.
    """
    seen.add(_real(folder))
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        yield os.path.join(folder.parent, folder.name)  # "./nets": "nets" alone could be a module
        return
    for entry in entries:
        if entry.name.startswith(".") or _real(entry) in seen:
            continue
        if os.path.isdir(entry):
            if not _is_made(entry):
                yield from _files(entry, seen)
        elif entry.suffix == ".py" and _may_hold_a_model(entry):
            seen.add(_real(entry))
            yield str(entry)


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a link that leads to itself
        return path.absolute()


def _is_made(folder: Path) -> bool:
    if folder.name in SKIPPED or os.path.exists(folder / "pyvenv.cfg"):
        return True
    return folder.name in BUILT and not os.path.exists(folder / "__init__.py")


def _may_hold_a_model(path: Path) -> bool:
    """Worth importing: it defines a class with a base, a factory, or what a call made beside an import of a library.

    Tests and set-up scripts are not imported.
    """
    if path.name in ("setup.py", "conftest.py") or path.name.startswith("test_") or path.name.endswith("_test.py"):
        return False
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return True  # loading it will say what is wrong
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return True
    statements = list(_statements(tree.body))
    return any(map(_defines, statements)) or (any(map(_makes, statements)) and any(map(_imports_a_library, statements)))


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a module that run when it is imported, also within `if`, `try` and `with`."""
    for statement in body:
        yield statement
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for child in ast.iter_child_nodes(statement):
                if isinstance(child, ast.ExceptHandler | ast.match_case):
                    yield from _statements(child.body)
                elif isinstance(child, ast.stmt):
                    yield from _statements([child])


def _defines(node: ast.stmt) -> bool:
    return (isinstance(node, ast.ClassDef) and bool(node.bases)) or (
        isinstance(node, ast.FunctionDef) and node.name in FACTORIES
    )


def _makes(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign | ast.AnnAssign) and any(isinstance(part, ast.Call) for part in ast.walk(node))


def _imports_a_library(node: ast.stmt) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
    return any(name.partition(".")[0] not in sys.stdlib_module_names for name in names)
