"""`gradhealth doctor`: what is installed, whether it works here, and what to do where it does not."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from gradcheck_health.cli.commands.config import without_effect
from gradcheck_health.cli.workers import pool
from gradcheck_health.formats._text import escape, safe_lines
from gradcheck_health.records.errors import ExitCode, UsageError
from gradcheck_health.records.report import Report
from gradcheck_health.records.version import __version__
from gradcheck_health.settings.config_files import in_files
from gradcheck_health.settings.resolution import resolve

NEEDED = ("torch", "pytest", "click", "pydantic", "PyYAML")
USEFUL = ("numpy", "timm", "torchvision", "transformers")
TINY = "from torch import nn\n\n\nclass Net(nn.Linear):\n    def __init__(self) -> None:\n        super().__init__(3, 2)\n"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was examined, whether it is well, what was found."""

    what: str
    verdict: str
    """ok, note or problem."""
    found: str


def run(show: Callable[[str], None]) -> int:
    """Show a line for each check as it is done.

    Returns:
        0, or 2 where something is a problem.
    """
    sick = False
    for check in _checks():
        sick = sick or check.verdict == "problem"
        show(f"{check.verdict.ljust(8)} {check.what.ljust(18)} {safe_lines(check.found)}\n")
    return ExitCode.USAGE if sick else ExitCode.HEALTHY


def _checks() -> Iterator[Check]:
    yield Check("gradcheck_health", "ok", f"{__version__} in {Path(__file__).parents[2]}")
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Check("python", "ok" if sys.version_info >= (3, 10) else "problem", f"{python}: {sys.executable}")
    yield from map(_needed, NEEDED)
    yield Check("optional", "ok", ", ".join(f"{name} {_version(name) or '-'}" for name in USEFUL))
    yield _plugin()
    yield from _settings()
    yield from map(_writable, ("working directory", "temporary files"))
    yield _works()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _needed(package: str) -> Check:
    found = _version(package)
    return Check(package, "problem" if found is None else "ok", found or f"not installed: pip install {package}")


def _plugin() -> Check:
    if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        return Check("pytest plugin", "note", "PYTEST_DISABLE_PLUGIN_AUTOLOAD is set: add -p gradcheck_health.pytest_plugin")
    if not entry_points(group="pytest11", name="gradhealth"):
        found = "not registered: install the package (pip install .), or pytest -p gradcheck_health.pytest_plugin"
        return Check("pytest plugin", "note", found)
    return Check("pytest plugin", "ok", "pytest loads it automatically")


def _settings() -> Iterator[Check]:
    try:
        sources = in_files()
        resolve(sources, known_rules=None if sources and "extra_rules" in _keys(sources[0].table) else "all")
    except UsageError as error:
        yield Check("settings", "problem", str(error))
        return
    yield Check("settings", "ok", sources[0].origin if sources else "no file: the defaults apply (gradhealth init writes one)")
    yield from (Check("settings", "problem", line) for line in without_effect(sources))


def _keys(table: object) -> set[str]:
    return {str(key).replace("-", "_") for key in table} if isinstance(table, dict) else set()


def _writable(what: str) -> Check:
    folder = Path.cwd() if what == "working directory" else Path(tempfile.gettempdir())
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check(what, "ok", f"{folder} can be written")
    except OSError as error:
        return Check(what, "problem", f"{folder} cannot be written, so no report there: {error.strerror or error}")


def _works() -> Check:
    """The whole way, in a process of its own: torch, forward, backward, rules."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "gradhealth_doctor.py"
        model.write_text(TINY)
        (result,) = list(pool.check(f"{model}:Net", [], 120.0, lambda _: None))
    if not isinstance(result, Report):
        return Check("a first check", "problem", result.message)
    seen = ", ".join(f"{key} {value}" for key, value in result.environment.items() if key in ("torch", "device"))
    return Check("a first check", "ok" if result.ok else "problem", escape(f"a linear layer is healthy; {seen}"))
