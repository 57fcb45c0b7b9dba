"""`gradhealth check`: targets in, reports out, an exit code for CI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradcheck_health import formats, isolation, presets, rules
from gradcheck_health.commands import github
from gradcheck_health.commands.targets import declared, expand
from gradcheck_health.commands.writing import write
from gradcheck_health.config import Config, resolve
from gradcheck_health.config_files import Source, in_files
from gradcheck_health.errors import UsageError
from gradcheck_health.formats import Failure
from gradcheck_health.formats._text import safe_lines
from gradcheck_health.loading import Target
from gradcheck_health.report import Report

INTERRUPTED = 130
NOTHING_CHECKED = 2
FEW_ROWS, MANY_ROWS = 12, 40
"""Lines of the picture of a sick model, and of any model with --verbose."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for on the command line."""

    targets: Sequence[str]
    sources: Sequence[Source]
    """Settings given as options."""
    outputs: Sequence[Path] = ()
    output_format: str | None = None
    """None: text for a person, and for the forge whose job this is."""
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
    blocks: bool = False
    """The terminal can show block characters."""


@dataclass
class Run:
    """What came out so far."""

    reports: list[Report] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[Failure] = field(default_factory=list)
    """Files of a directory that hold nothing to build."""
    unchanged: dict[str, str] = field(default_factory=dict)
    """Targets that `--changed-since` left out, and why."""

    def exit_code(self, exit_zero: bool) -> int:
        """The worst that happened: 4, 3 and 2 over 1, and 0 only if something was checked."""
        if self.failures:
            return max(failure.exit_code for failure in self.failures)
        if not self.reports:
            return 0 if self.unchanged else NOTHING_CHECKED
        return int(not all(report.ok for report in self.reports) and not exit_zero)


Write = Callable[[str], None]


def run(request: Request, show: Write, tell: Write, status: Write = lambda _: None) -> int:
    """Check every target and write every output.

    Args:
        show: takes what belongs on standard output.
        tell: takes what belongs on standard error.
        status: takes what is being done, "" when nothing is.

    Returns:
        The exit code.

    Raises:
        UsageError: before anything is run, where an option, a setting or a target cannot be right.
    """
    writers = [(path, formats.find(path)) for path in request.outputs]
    form = formats.find(request.output_format or "terminal")
    streaming = request.output_format in (None, "terminal")
    done = Run()
    try:
        sources, config = settings(request)
        wanted = expand(request.targets or declared(sources))
        if request.changed_since is not None:
            wanted, done.unchanged = _changed(wanted, request.changed_since, sources, config)
    except UsageError as error:
        if not streaming:  # who reads a document gets one, whatever happens
            failures = [Failure(" ".join(request.targets), str(error), error.exit_code)]
            show(formats.render_run(form, [], failures, error.exit_code))
        raise
    for target, why in done.unchanged.items():
        tell(f"skipped: {safe_lines(f'{target}: {why}')}\n")
    interrupted = False
    try:
        targets = [target for target, _ in wanted]
        status(_doing(targets, 0))
        for i, result in isolation.check_all(targets, sources, config.timeout, tell, request.jobs):
            _take(done, result, wanted[i][1], request, tell)
            if streaming and isinstance(result, Report):
                show_report(result, request, show, first=len(done.reports) == 1)
            status(_doing(targets, i))
    except KeyboardInterrupt:
        interrupted = True
        tell("interrupted: what was checked before stands\n")
    status("")
    code = INTERRUPTED if interrupted else done.exit_code(request.exit_zero)
    if streaming:
        _summary(done, show, tell)
    else:
        show(formats.render_run(form, done.reports, done.failures, code))
    _tell_forge(request, done, code, show, tell)
    written = [write(path, formats.render_run(module, done.reports, done.failures, code), tell) for path, module in writers]
    return code if all(written) or interrupted else max(code, 2)


def _doing(targets: Sequence[str], i: int) -> str:
    where = "" if len(targets) == 1 else f" {i + 1} of {len(targets)}:"
    return f"checking{where} {targets[i]}" if targets else ""


def _tell_forge(request: Request, done: Run, code: int, show: Write, tell: Write) -> None:
    if not github.is_github():
        return
    if request.output_format is None:
        show(formats.render_run(formats.find("github"), done.reports, done.failures, code))
    if request.output_format in (None, "github"):
        github.summarize(done.reports, done.failures, code, tell)


def settings(request: Request) -> tuple[list[Source], Config]:
    """Every source, and the settings they make, checked as far as this process can: it imports no code of others."""
    sources = [*in_files(request.settings_file, request.isolated), *request.sources]
    if not any(source.table for source in sources):
        return sources, resolve(sources)
    foreign = rules.installed() or any(source.table.get("extra_rules") or source.table.get("extra-rules") for source in sources)
    return sources, resolve(sources, known_rules=None if foreign else {**presets.every(), **rules.builtin()})


def _changed(
    wanted: Sequence[tuple[str, bool]], revision: str, sources: Sequence[Source], config: Config
) -> tuple[list[tuple[str, bool]], dict[str, str]]:
    """The targets that have to be checked, and those that do not, with the reason."""
    from gradcheck_health.baseline import files
    from gradcheck_health.commands.changed import Changes

    changes = Changes.since(revision, Path.cwd())
    given = [Path(source.origin) for source in sources if Path(source.origin).is_file()]
    kept: list[tuple[str, bool]] = []
    unchanged: dict[str, str] = {}
    for target, from_folder in wanted:
        held = [] if config.baseline is None else files.of_source(config.baseline, target)
        changed, why = changes.why(target, [*given, *held])
        if changed:
            kept.append((target, from_folder))
        else:
            unchanged[target] = why
    return kept, unchanged


def _take(done: Run, result: Report | Failure, from_folder: bool, request: Request, tell: Write) -> None:
    if isinstance(result, Report):
        done.reports.append(result)
    elif from_folder and result.exit_code == UsageError.exit_code:
        done.skipped.append(result)
        if request.verbose:
            tell(f"skipped: {safe_lines(result.message)}\n")
    else:
        done.failures.append(result)
        kinds = {2: "usage error", 3: "failed", 4: "stopped"}
        tell(f"{kinds.get(result.exit_code, 'failed')}: {safe_lines(message(result))}\n")


def message(failure: Failure) -> str:
    named = failure.message.startswith(Target.parse(failure.target).where)
    return failure.message if named else f"{failure.target}: {failure.message}"


def show_report(report: Report, request: Request, show: Write, *, first: bool) -> None:
    from gradcheck_health.formats import terminal

    if request.quiet and report.ok:
        return
    rows = MANY_ROWS if request.verbose else 0 if report.ok else FEW_ROWS
    text = terminal.render(report, width=request.width, verbose=request.verbose, rows=rows, blocks=request.blocks)
    show(("" if first else "\n") + text)


def _summary(done: Run, show: Write, tell: Write) -> None:
    if done.skipped:
        tell(f"skipped {len(done.skipped)} files of a directory that hold no model to build (-v names them)\n")
    if done.unchanged and not done.reports and not done.failures:
        tell(f"nothing to check: {len(done.unchanged)} of {len(done.unchanged)} targets are unchanged\n")
    elif not done.reports and not done.failures:
        tell("nothing was checked: no model was found; name one, as in `gradhealth check model.py:Net`\n")
    if len(done.reports) + len(done.failures) > 1:
        sick = sum(not report.ok for report in done.reports)
        failed = f", {len(done.failures)} not checked" if done.failures else ""
        show(f"\n{len(done.reports)} checked: {len(done.reports) - sick} healthy, {sick} unhealthy{failed}\n")
