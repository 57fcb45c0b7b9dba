"""`gradhealth diff`: two sides, and the settings that `gradhealth check` takes."""

from __future__ import annotations

import sys
from typing import Any

import click

from gradcheck_health.cli import _options

EPILOG = """\b
Examples:
  gradhealth check model.py -o main.json          on the main branch
  gradhealth diff main.json model.py              that run, and the model as it is now
  gradhealth diff main.json branch.json -o diff.html
  gradhealth diff old/baseline.json new/baseline.json

Exit codes: 0 nothing is worse and nothing new is found; 1 something is; 2 and above as for gradhealth check.
"""


def _run(first: str, second: str, color: str, **options: Any) -> int:
    from gradcheck_health.cli.commands import _console, _session, diff
    from gradcheck_health.settings.from_options import sources

    request = _session.CheckRequest(
        targets=(first, second),
        sources=sources(options),
        width=_console.width(),
        blocks=_console.has_blocks(sys.stdout),
        **{
            name: options[name]
            for name in ("outputs", "output_format", "settings_file", "isolated", "exit_zero", "quiet", "verbose")
        },
    )
    painted = _console.wants_color(sys.stdout, color) and request.output_format in (None, "terminal")
    status = _console.Status(sys.stderr)
    show = status.above(_console.writer(sys.stdout, painted))
    tell = status.above(_console.writer(sys.stderr, painted=False))
    return diff.run(request, show, tell, status)


diff = click.Command(
    "diff",
    params=[
        click.Argument(["first"], metavar="BEFORE"),
        click.Argument(["second"], metavar="AFTER"),
        *_options.OUTPUTS,
        *_options.RULES,
        *_options.SETTINGS,
        _options.EXIT_ZERO,
        *_options.MODEL,
        _options.FAIL_IF,
        *_options.RUN,
        _options.QUIET,
        *_options.SCREEN,
    ],
    callback=_run,
    help="Compare two runs (reports, baselines, or a target as it is now): what is worse, better, new or gone.",
    epilog=EPILOG,
)
