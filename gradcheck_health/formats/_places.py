"""Where a finding stands in the source, and by what it is known again in another run."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gradcheck_health.formats import _wording
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.report import Report


def from_root(path: str) -> str:
    """The path as a forge wants it: from the root of the repository that holds the working directory, if there is one."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    whole = os.path.normpath(here / path)
    return os.path.relpath(whole, root) if os.path.commonpath([whole, root]) == str(root) else whole


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a file; the path is relative to the working directory where the file lies in it."""

    path: str
    number: int


def line(source: str | None) -> SourceLine | None:
    """`file:line` taken apart; None for anything else."""
    path, _, number = (source or "").rpartition(":")
    # more digits than that are no line of a file
    known = path and number.isascii() and number.isdecimal() and len(number) < 9 and int(number)
    return SourceLine(path, int(number)) if known else None


def first_line(finding: Finding, report: Report) -> SourceLine | None:
    """Where it starts, else the first place whose line is known; otherwise the top of the file that was checked."""
    started = re.search(r", ([^,;]+:[0-9]+)(?:;|$)", dict(finding.details).get("starts", ""))
    sources = [started[1] if started is not None else None, *(place.source for place in finding.places)]
    # a line within an installed package is none that a forge could show, or its reader could change
    return next((found for source in sources if (found := line(source)) and not _is_installed(found.path)), top(report.target))


def _is_installed(path: str) -> bool:
    return bool({"site-packages", "dist-packages"} & set(Path(path).parts))


def top(target: str | None) -> SourceLine | None:
    """The first line of a target's file; None where it is an importable module."""
    path = target or ""
    if not path.endswith(".py"):
        path = path.rpartition(":")[0].removesuffix(":")
    return SourceLine(path, 1) if path.endswith(".py") else None


def subject(report: Report) -> str:
    """What was checked, as the user named it."""
    if report.target is None:
        return report.model
    return f"{report.target}, shrunk" if "shrunk" in report.environment else report.target


def full_text(finding: Finding) -> str:
    """All that a finding says, a line each: the message, the places, the details, the reason why it was accepted."""
    lines = [f"{finding.rule}: {finding.message}"]
    labels = {label for label, _ in finding.details}
    if finding.places and not labels & {"starts", "at"}:
        lines.append(f"at: {_wording.places(finding.places)}")
    lines += [f"{label}: {text}" for label, text in finding.details]
    if finding.suppressed is not None:
        lines.append(f"accepted: {finding.suppressed}")
    return "\n".join(lines)


def fingerprint(*parts: str) -> str:
    """A hash of names: never of a measured value or a line number, so that it is the same in the next run."""
    text = "\0".join(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fingerprints(report: Report) -> Iterator[tuple[Finding, str]]:
    """Every finding with its own; two that are alike are told apart by their order."""
    seen: dict[str, int] = {}
    for finding in report.findings:
        key = fingerprint(finding.rule, subject(report), *sorted(finding.names))
        seen[key] = seen.get(key, 0) + 1
        yield finding, key if seen[key] == 1 else fingerprint(key, str(seen[key]))
