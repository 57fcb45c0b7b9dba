"""What the commands that check models share: the request, the outcome so far, the settings, and one report on the screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradcheck_health import rules
from gradcheck_health.formats._text import quoted
from gradcheck_health.records.errors import ExitCode
from gradcheck_health.records.launch import launcher
from gradcheck_health.records.report import Failure, NothingToCheck, Report
from gradcheck_health.rules import presets, saved
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.config_files import in_files
from gradcheck_health.settings.resolution import resolve
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.target import Target


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What the user asked for on the command line."""

    targets: Sequence[str]
    sources: Sequence[Source]
    """Settings given as options."""
    outputs: Sequence[Path] = ()
    output_format: str | None = None
    """None: text for the user, and for the forge whose job this is."""
    settings_file: Path | None = None
    isolated: bool = False
    exit_zero: bool = False
    quiet: bool = False
    verbose: bool = False
    width: int = 80
    jobs: int = 1
    """Targets that are checked at once."""
    changed_since: str | None = None
    """A git revision: targets whose source is the same are left out."""
    options: Sequence[str] = ()
    """Options that a verdict depends on, as they are typed again."""
    blocks: bool = False
    """The terminal can show block characters."""
    command: str = "check"
    """The command that was typed: check, or remedy, which lists what was tried."""


@dataclass
class Run:
    """What came out so far."""

    reports: list[Report] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[NothingToCheck] = field(default_factory=list)
    """Files that define no model, and helpers without parameters: nothing that the user named."""
    unchanged: dict[str, str] = field(default_factory=dict)
    """Targets that `--changed-since` left out, and why."""

    def exit_code(self, exit_zero: bool) -> int:
        """The worst that happened: 4, 3 and 2 over 1, and 0 only if something was checked."""
        if self.failures:
            return max(failure.exit_code for failure in self.failures)
        if not self.reports:
            return ExitCode.HEALTHY if self.unchanged else ExitCode.USAGE
        sick = not all(report.ok for report in self.reports) and not exit_zero
        return ExitCode.FINDINGS if sick else ExitCode.HEALTHY


def repeatable(report: Report, command: str, request: CheckRequest) -> Report:
    """The report with the command that makes it again."""
    target = report.target or ""
    named = f"./{target}" if target.startswith("-") else target
    program = f"{again}gradcheck_health" if (again := launcher()) else "gradhealth"
    words = [f"{program} {command}", quoted(named), f"--seed {report.seed}", *request.options]
    return dataclasses.replace(report, repeat=" ".join(words))


Write = Callable[[str], None]


def settings(request: CheckRequest) -> tuple[list[Source], Config]:
    """Every source, and the settings they make, checked as far as this process can: it imports no code of others."""
    sources = [*in_files(request.settings_file, request.isolated), *request.sources]
    if not any(source.table for source in sources):
        return sources, resolve(sources)
    foreign = rules.installed() or any(source.table.get("extra_rules") or source.table.get("extra-rules") for source in sources)
    return sources, resolve(sources, known_rules=None if foreign else {**presets.every(), **saved.every(), **rules.builtin()})


def message(failure: Failure | NothingToCheck) -> str:
    named = failure.message.startswith(Target.parse(failure.target).where)
    return failure.message if named else f"{failure.target}: {failure.message}"


def show_report(report: Report, request: CheckRequest, show: Write, *, first: bool) -> None:
    from gradcheck_health.formats import _remedies, terminal

    if request.quiet and report.ok:
        return
    rows = MANY_ROWS if request.verbose else 0 if report.ok else FEW_ROWS
    text = terminal.render(report, width=request.width, verbose=request.verbose, rows=rows, blocks=request.blocks)
    if request.command == "remedy":
        text += "\n" + "\n".join(_remedies.lines(report, min(request.width, terminal.MAX_PROSE))) + "\n"
    show(("" if first else "\n") + text)


FEW_ROWS, MANY_ROWS = 12, 40
"""Lines of the picture of a sick model, and of any model with --verbose."""
