"""`gradhealth check`: the options, and what becomes of them."""

from __future__ import annotations

import sys
from typing import Any

import click

from gradcheck_health.cli import _options
from gradcheck_health.settings.config import FOLDER

EPILOG = """\b
Examples:
  gradhealth check model.py                      every model of the file
  gradhealth check model.py:Net --arg depth=8    one class, with an argument
  gradhealth check package.models:build          a function that returns a model
  gradhealth check models/ -o out.sarif -o out.md  a directory, and files for machines
  gradhealth check model.py --set rules.vanishing-gradient.min_ratio=1e-3
  gradhealth check step-900.safetensors --against step-0.safetensors  files of weights, without a model
  gradhealth check model.py --ignore 'missing-gradient:teacher.*=frozen on purpose'

Exit codes: 0 healthy; 1 findings at or above --fail-on; 2 usage, settings, or nothing to check; 3 a file or model failed;
4 a process died or ran too long; 130 interrupted. Checking model.py runs model.py: it is isolated, but not a sandbox.
"""


def _run(targets: tuple[str, ...], color: str, against: str | None, **options: Any) -> int:
    from gradcheck_health.cli.commands.weights import names_weights

    targets, options["baseline"] = split_baseline(targets, options["baseline"], options.pop("no_baseline"))
    if against is not None or any(map(names_weights, targets)):
        return _check_weights(targets, color, against, options)
    return run_checks(targets, color, options)


def _check_weights(targets: tuple[str, ...], color: str, against: str | None, options: dict[str, Any]) -> int:
    from gradcheck_health.cli.commands import _console, weights

    request = _request(targets, options, "check")
    painted = _console.wants_color(sys.stdout, color) and request.output_format in (None, "terminal")
    return weights.run(request, against, _console.writer(sys.stdout, painted), _console.writer(sys.stderr, painted=False))


def run_checks(targets: tuple[str, ...], color: str, options: dict[str, Any], command: str = "check") -> int:
    """Check the targets under these options, and print.

    Args:
        command: the one that was typed: check, or remedy.
    """
    from gradcheck_health.cli.commands import _console
    from gradcheck_health.cli.commands import check as checking

    request = _request(targets, options, command)
    painted = _console.wants_color(sys.stdout, color) and request.output_format in (None, "terminal")
    status = _console.Status(sys.stderr)
    show = status.above(_console.writer(sys.stdout, painted))
    tell = status.above(_console.writer(sys.stderr, painted=False))
    return checking.run(request, show, tell, status)


def _request(targets: tuple[str, ...], options: dict[str, Any], command: str) -> Any:
    from gradcheck_health.cli._repeat import typed_options
    from gradcheck_health.cli.commands import _console, _session
    from gradcheck_health.settings.from_options import sources

    return _session.CheckRequest(
        targets=targets,
        sources=sources(options),
        width=_console.width(),
        blocks=_console.has_blocks(sys.stdout),
        options=typed_options(options.get("baseline")),
        command=command,
        **{name: options[name] for name in _OF_THE_REQUEST if name in options},
    )


_OF_THE_REQUEST = (
    "outputs",
    "output_format",
    "settings_file",
    "isolated",
    "exit_zero",
    "jobs",
    "quiet",
    "verbose",
    "changed_since",
)


def split_baseline(targets: tuple[str, ...], baseline: str | None, none: bool) -> tuple[tuple[str, ...], str | None]:
    """Targets and baseline apart: `--baseline model.py` names a model, because no baseline is a Python file.

    Returns:
        The targets, and the baseline: None where the settings decide, "" for none at all.
    """
    if none:
        return targets, ""
    if baseline is not None and (baseline.endswith(".py") or ".py:" in baseline):
        return (baseline, *targets), FOLDER
    return targets, baseline


check = click.Command(
    "check",
    params=[
        _options.TARGETS,
        *_options.OUTPUTS,
        *_options.RULES,
        *_options.SETTINGS,
        *_options.VERDICT,
        *_options.MODEL,
        *_options.REMEDIES,
        _options.AGAINST,
        _options.BASELINE,
        _options.NO_BASELINE,
        _options.FAIL_IF,
        _options.CHANGED_SINCE,
        *_options.RUN,
        _options.QUIET,
        *_options.SCREEN,
    ],
    callback=_run,
    help="Check models: model.py, model.py:Net, package.module:Net, or a directory; or files of weights.",
    epilog=EPILOG,
)
