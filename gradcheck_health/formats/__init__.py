"""The output formats: one file each, with `render(report) -> str` and `SUFFIX`. A file that is present is a format.

A format may also have `render_run(reports, failures, exit_code) -> str`, where one document holds a whole run of the command
line, and `ALSO`, further endings of a file that mean it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from gradcheck_health.records.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from gradcheck_health.records.report import Failure, Report


def names() -> tuple[str, ...]:
    """The formats, sorted, by their file names: none is imported."""
    stems = (path.stem for path in Path(__file__).parent.glob("*.py"))
    return tuple(sorted(stem for stem in stems if not stem.startswith("_")))


def find(path_or_name: str | Path) -> ModuleType:
    """The format of a name ("json") or of a file's suffix ("out/report.json").

    Raises:
        UsageError: no format is called so.
    """
    wanted = str(path_or_name)
    if wanted in names():
        return importlib.import_module(f"{__name__}.{wanted}")
    suffixes: dict[str, ModuleType] = {}
    for name in names():
        module = importlib.import_module(f"{__name__}.{name}")
        suffixes |= dict.fromkeys((module.SUFFIX, *getattr(module, "ALSO", ())), module)
    # the longest first: .gitlab.json before .json
    for suffix in sorted(suffixes, key=len, reverse=True):
        if wanted.lower().endswith(suffix):
            return suffixes[suffix]
    suffix = Path(wanted).suffix
    if suffix or "/" in wanted:
        raise UsageError(f"no format writes {wanted!r}: its suffix is {suffix!r}, known are {', '.join(sorted(suffixes))}")
    raise UsageError(f"no format {wanted!r}{did_you_mean(wanted, names())}: known are {', '.join(names())}")


def render_run(module: ModuleType, reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """A whole run in one text, by the format's own `render_run` or one report after another."""
    if hasattr(module, "render_run"):
        return str(module.render_run(reports, failures, exit_code))
    return "\n".join(module.render(report) for report in reports)
