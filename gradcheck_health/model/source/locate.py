"""The user's own code of a model: the line of each place of a finding, and the files that its classes stand in."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from gradcheck_health.model.source.assignments import Assignments
from gradcheck_health.model.source.class_source import class_source
from gradcheck_health.model.source.lines import place
from gradcheck_health.model.tree import modules
from gradcheck_health.model.wrappers import own_class
from gradcheck_health.records.finding import Finding, Place
from gradcheck_health.records.frames import is_user_file

MAX_BYTES = 4 * 2**20
MAX_PLACES = 50
"""Of one finding: further ones are not shown."""


def with_source_lines(findings: Sequence[Finding], model: nn.Module) -> list[Finding]:
    """The findings, with the line that builds the layer or parameter at each place whose line is not known yet."""
    source = Assignments(model)

    def filled(where: Place) -> Place:
        if where.source is not None:
            return where
        return dataclasses.replace(where, source=source(where.name) if where.name else _class_line(model))

    return [
        dataclasses.replace(finding, places=(*map(filled, finding.places[:MAX_PLACES]), *finding.places[MAX_PLACES:]))
        for finding in findings
    ]


def marked_code(model: nn.Module, mark: str) -> list[tuple[str, str, tuple[tuple[int, int], ...]]]:
    """(file as in `Place.source`, its text, the lines of the model's classes in it) of the files that hold the mark."""
    classes: dict[str, list[type]] = {}
    for cls in {base for kind in set(map(type, modules(model))) for base in kind.__mro__ if issubclass(base, nn.Module)}:
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        if file is not None and file.endswith(".py") and is_user_file(file):
            classes.setdefault(file, []).append(cls)
    found = []
    for file, members in sorted(classes.items()):
        text = _text(Path(file))
        if mark in text:
            ranges = tuple(sorted(span for cls in members if (span := _span(cls)) is not None))
            found.append((place(file, 0).rpartition(":")[0], text, ranges))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size <= MAX_BYTES else ""
    except OSError:
        return ""


def _span(cls: type) -> tuple[int, int] | None:
    source = class_source(cls)
    return None if source is None else (source[1], source[1] + len(source[0]) - 1)


def _class_line(model: nn.Module) -> str | None:
    source = class_source(own_class(model))
    return None if source is None or not is_user_file(source[2]) else place(source[2], source[1])
