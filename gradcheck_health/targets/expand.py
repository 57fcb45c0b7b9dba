"""Targets as a person typed them -> files and modules to check; nothing is imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gradcheck_health.records.errors import UsageError
from gradcheck_health.targets.importing import MAX_BYTES, check_file
from gradcheck_health.targets.load import FACTORIES
from gradcheck_health.targets.target import Target

SKIPPED = ("__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist")


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
            files = list(_files(folder))
            if not files:
                raise UsageError(f"{text}: no Python file in it defines a class or a function {', '.join(FACTORIES)}")
            found.update({file: True for file in files if file not in found})
        else:
            if target.is_file:
                check_file(folder)
            found[str(target)] = False
    return list(found.items())


def seen_from(folder: Path, text: str) -> str:
    """A target that was written down in a file of the folder, as a person would type it here.

    Raises:
        UsageError: see `Target.parse`.
    """
    target = Target.parse(text)
    path = folder / target.where
    if not (target.is_file or path.exists()):
        return str(target)  # the name of a module
    return str(Target(os.path.relpath(path), target.name))


def _files(folder: Path) -> Iterator[str]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir():
            if entry.name not in SKIPPED and not (entry / "pyvenv.cfg").exists():
                yield from _files(entry)
        elif entry.suffix == ".py" and entry.is_file() and _may_hold_a_model(entry):
            yield str(entry)


def _may_hold_a_model(path: Path) -> bool:
    """Worth importing: it defines a class with a base, or a factory. Tests and set-up scripts are not imported."""
    if path.name in ("setup.py", "conftest.py") or path.name.startswith("test_") or path.name.endswith("_test.py"):
        return False
    if path.stat().st_size > MAX_BYTES:
        return False
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True  # importing it will say what is wrong
    return any(
        (isinstance(node, ast.ClassDef) and node.bases) or (isinstance(node, ast.FunctionDef) and node.name in FACTORIES)
        for node in tree.body
    )
