"""`gradhealth infer`: the inputs that a check would make up, with their reasons, ready to be pasted or saved."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradcheck_health.cli.workers import pool
from gradcheck_health.formats._text import safe_lines, wrap
from gradcheck_health.records.errors import ExitCode, as_options, in_python
from gradcheck_health.records.inferred import InferredInputs
from gradcheck_health.records.report import Failure, NothingToCheck
from gradcheck_health.records.wording import listed
from gradcheck_health.settings.config_files import in_files
from gradcheck_health.settings.edit import save
from gradcheck_health.settings.resolution import resolve
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.expand import expand

Write = Callable[[str], None]
MAX_NAMES = 4


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What the user asked for on the command line."""

    targets: Sequence[str]
    sources: Sequence[Source]
    save: Path | None = None
    settings_file: Path | None = None
    isolated: bool = False
    width: int = 80


def run(request: InferRequest, show: Write, tell: Write, status: Write = lambda _: None) -> int:
    """Infer the inputs of every target, show them, and save them where that was asked for.

    Returns:
        0, or the worst exit code of a target for which nothing could be inferred.

    Raises:
        UsageError: an option, a setting or a target cannot be right, or the file cannot be written.
    """
    sources = [*in_files(request.settings_file, request.isolated), *request.sources]
    config = resolve(sources, known_rules=None)
    code, first = 0, True
    for target, _ in expand(request.targets):
        status(f"inferring inputs of {target}")
        for result in pool.infer(target, sources, config.timeout, tell):
            status("")
            if isinstance(result, NothingToCheck):
                tell(f"skipped: {safe_lines(result.message)}\n")
                continue
            if isinstance(result, Failure):
                code = max(code, result.exit_code)
                tell(f"failed: {safe_lines(result.message)}\n")
                continue
            show(("" if first else "\n") + render(result, request.width, saved=request.save is not None))
            first = False
            if request.save is not None:
                _save(request.save, result, show, tell)
    return ExitCode.USAGE if first and not code else code


def _save(path: Path, result: InferredInputs, show: Write, tell: Write) -> None:
    if result.target is None or result.specs is None:
        tell(f"not saved: {_why_not(result)}\n")
        return
    save(path, result.target, {"model": result.model, "forward": result.forward, "inputs": result.specs})
    show(f"{'saved:':9}{path}; used as long as forward takes {safe_lines(result.forward)}\n")


def _why_not(result: InferredInputs) -> str:
    if not result.arguments:
        return f"the inputs of {result.target} are {result.origin}: they are read from there each time"
    lost = ", ".join(entry.argument for entry in result.arguments if entry.spec is None)
    return f"{lost} of {result.target} cannot be written as text: add a method gradhealth_inputs(self) to the model"


def render(result: InferredInputs, width: int = 80, saved: bool = False) -> str:
    """Every argument with its sizes, reasons and confidence, and the lines to paste."""
    lines = list(wrap(f"{result.target}: forward{result.forward}", width, hang=4))
    indent = 4 + max((len(entry.argument) for entry in result.arguments), default=0) + 2
    for entry in result.arguments:
        lines.append(f"    {entry.argument.ljust(indent - 6)}  {entry.spec or '(cannot be written as text)'}")
        lines += wrap(f"{entry.why} ({entry.confidence} confidence)", width, first=" " * indent)
    lines += _facts(result, width)
    if result.specs is not None:
        lines += _to_paste(result, saved)
    return "\n".join(safe_lines(line.rstrip()) for line in lines) + "\n"


def _facts(result: InferredInputs, width: int) -> Iterator[str]:
    if result.made_up_arguments:
        built = ", ".join(f"{name}={value}" for name, value in result.made_up_arguments.items())
        yield from wrap(f"with {built}, made up", width, first=f"{'built:':9}", hang=9)
    fed = f"{result.description}, {result.origin}"
    yield from wrap(fed, width, first=f"{'inputs:':9}", hang=9)
    tries = f", after {result.trials} tries" if result.trials > 1 else ""
    lost = ""
    if result.unreached:
        lost = f"; not {listed(result.unreached, MAX_NAMES)}"
    reached = f"forward runs and reaches {result.reached} of {result.trainable} trainable parameters{lost}{tries}"
    yield from wrap(reached, width, first=f"{'tried:':9}", hang=9)
    if result.left_out:
        yield from wrap(f"{', '.join(result.left_out)} (optional)", width, first=f"{'left out:':10}", hang=10)


def _to_paste(result: InferredInputs, saved: bool) -> Iterator[str]:
    specs, target = result.specs or {}, shlex.quote(result.target or "model.py")
    yield f"{'python:':9}{in_python(specs)}"
    yield f"{'shell:':9}gradhealth check {target} {as_options(specs)}"
    if not saved:
        yield f"{'keep:':9}gradhealth infer {target} --save gradhealth.yaml"
