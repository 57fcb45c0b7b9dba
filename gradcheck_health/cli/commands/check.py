"""`gradhealth check`: targets in, reports out, an exit code for CI."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from gradcheck_health import formats
from gradcheck_health.cli.commands import _github
from gradcheck_health.cli.commands._session import (
    CheckRequest,
    Run,
    Write,
    message,
    repeatable,
    settings,
    show_report,
)
from gradcheck_health.cli.workers import pool
from gradcheck_health.formats import terminal
from gradcheck_health.formats._text import escape, safe_lines
from gradcheck_health.records.errors import ExitCode, UsageError
from gradcheck_health.records.files import write
from gradcheck_health.records.launch import in_turn, writes
from gradcheck_health.records.report import Failure, NothingToCheck, Report
from gradcheck_health.records.wording import counted
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.models import declared
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.expand import expand
from gradcheck_health.targets.target import Target


def _unseen(text: str) -> None:
    """Takes what nobody is shown."""


def run(request: CheckRequest, show: Write, tell: Write, status: Write = _unseen) -> int:
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
    if not writes():  # another rank does
        request, show, status = dataclasses.replace(request, outputs=()), _unseen, _unseen
    with in_turn():
        return _run(request, show, tell, status)


def _run(request: CheckRequest, show: Write, tell: Write, status: Write) -> int:
    writers = [(path, formats.find(path)) for path in request.outputs]
    form = formats.find(request.output_format or "terminal")
    streaming = request.output_format in (None, "terminal")
    done = Run()
    try:
        sources, config = settings(request)
        wanted = expand(request.targets or declared(sources))
        if request.changed_since is not None:
            wanted, done.unchanged = _changed(wanted, request.changed_since, sources, config, request.options)
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
        results: list[list[object]] = [[] for _ in targets]
        status(_doing(targets, 0))
        for i, made in pool.check_all(targets, sources, config.timeout, tell, request.jobs):
            result = repeatable(made, request.command, request) if isinstance(made, Report) else made
            _take(done, result, wanted[i][0], request, tell)
            if streaming and isinstance(result, Report):
                if len(targets) > 1 and not (request.quiet and result.ok):
                    show(f"{'' if len(done.reports) == 1 else chr(10)}{escape(result.target or '')}\n")
                show_report(result, request, show, first=len(done.reports) == 1)
            status(_doing(targets, i))
            results[i].append(result)
        for (target, from_folder), found in zip(wanted, results, strict=True):
            nothing = [one for one in found if isinstance(one, NothingToCheck)]
            if not from_folder and len(nothing) == len(found) and not Target.parse(target).name:
                _fail(done, Failure(target, "; ".join(map(message, nothing)) or "no model in it", ExitCode.USAGE), tell)
    except KeyboardInterrupt:
        interrupted = True
        tell("interrupted: what was checked before stands\n")
    status("")
    code = ExitCode.INTERRUPTED if interrupted else done.exit_code(request.exit_zero)
    if streaming:
        _summary(done, show, tell)
    else:
        show(formats.render_run(form, done.reports, done.failures, code))
    _tell_forge(request, done, code, show, tell)
    written = [write(path, formats.render_run(module, done.reports, done.failures, code), tell) for path, module in writers]
    return code if all(written) or interrupted else max(code, ExitCode.USAGE)


def _doing(targets: Sequence[str], i: int) -> str:
    where = "" if len(targets) == 1 else f" {i + 1} of {len(targets)}:"
    return f"checking{where} {targets[i]}" if targets else ""


def _tell_forge(request: CheckRequest, done: Run, code: int, show: Write, tell: Write) -> None:
    if not _github.is_github() or not writes():
        return
    if request.output_format is None:
        show(formats.render_run(formats.find("github"), done.reports, done.failures, code))
    if request.output_format in (None, "github"):
        _github.summarize(done.reports, done.failures, code, tell)


def _changed(
    wanted: Sequence[tuple[str, bool]], revision: str, sources: Sequence[Source], config: Config, options: Sequence[str] = ()
) -> tuple[list[tuple[str, bool]], dict[str, str]]:
    """The targets that have to be checked, and those that do not, with the reason."""
    from gradcheck_health.baseline import files
    from gradcheck_health.targets.changed import Changes, files_named_in

    changes = Changes.since(revision, Path.cwd())
    given = [Path(source.origin) for source in sources if Path(source.origin).is_file()]
    for source in sources:
        given += files_named_in(source.table, Path(source.origin).parent)
    # the table of `--arg cfg=@config.yaml` was read from there
    given += [Path(option.partition("=@")[2].strip("'")) for option in options if "=@" in option]
    own_rules = [rule.partition(":")[0] for rule in config.extra_rules if isinstance(rule, str)]
    kept: list[tuple[str, bool]] = []
    unchanged: dict[str, str] = {}
    for target, from_folder in wanted:
        also = list(given)
        if config.baseline is not None:
            if not files.of_source(config.baseline, target):
                kept.append((target, from_folder))
                continue
            also += changes.below(*files.beginning(config.baseline, target))
        changed, why = changes.why(target, also, own_rules)
        if changed:
            kept.append((target, from_folder))
        else:
            unchanged[target] = why
    return kept, unchanged


def _take(done: Run, result: Report | Failure | NothingToCheck, target: str, request: CheckRequest, tell: Write) -> None:
    if isinstance(result, Report):
        done.reports.append(result)
    elif isinstance(result, Failure):
        _fail(done, result, tell)
    elif Target.parse(target).name:
        _fail(done, Failure(result.target, result.message, ExitCode.USAGE), tell)
    else:
        done.skipped.append(result)
        if request.verbose:
            tell(f"skipped: {safe_lines(message(result))}\n")


def _fail(done: Run, failure: Failure, tell: Write) -> None:
    done.failures.append(failure)
    kinds = {ExitCode.USAGE: "usage error", ExitCode.FAILED: "failed", ExitCode.STOPPED: "stopped"}
    tell(f"{kinds[ExitCode(failure.exit_code)]}: {safe_lines(message(failure))}\n")


def _summary(done: Run, show: Write, tell: Write) -> None:
    checked = {Target.parse(report.target).where for report in done.reports if report.target}
    alone = [one for one in done.skipped if Target.parse(one.target).where not in checked]  # a loss beside a model is no news
    if alone:
        skipped = counted(len(alone), "target")
        tell(f"skipped {skipped} with nothing to train: no model, or no parameters (-v names them)\n")
    if done.unchanged and not done.reports and not done.failures:
        tell(f"nothing to check: {len(done.unchanged)} of {len(done.unchanged)} targets are unchanged\n")
    elif not done.reports and not done.failures:
        tell("nothing was checked: no model was found; name one, as in `gradhealth check model.py:Net`\n")
    if len(done.reports) + len(done.failures) > 1:
        sick = sum(not report.ok for report in done.reports)
        failed = f", {len(done.failures)} not checked" if done.failures else ""
        show(f"\n{len(done.reports)} checked: {len(done.reports) - sick} healthy, {sick} unhealthy{failed}\n")
        for line in terminal.not_checked(done.failures):
            show(f"{line}\n")
