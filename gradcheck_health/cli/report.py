"""`gradhealth report`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gradcheck_health.cli import _options

EPILOG = """\b
Examples:
  gradhealth report report.html                       what `gradhealth check -v` printed
  gradhealth report report.html -o report.json        the run inside the page
  gradhealth report linux.json mac.json -o both.html  several runs in one page
"""


def _run(files: tuple[Path, ...], outputs: tuple[Path, ...]) -> int:
    from gradcheck_health import formats
    from gradcheck_health.cli.commands import _console
    from gradcheck_health.cli.commands.report import as_text, read
    from gradcheck_health.records.errors import ExitCode
    from gradcheck_health.records.files import write

    forms = [(path, formats.find(path)) for path in outputs]
    reports, failures, code = read(files)
    if not forms:
        show = _console.writer(sys.stdout, _console.wants_color(sys.stdout))
        show(as_text(reports, failures, _console.width(), _console.has_blocks(sys.stdout)))
        return 0
    tell = _console.writer(sys.stderr, painted=False)
    written = [write(path, formats.render_run(form, reports, failures, code), tell) for path, form in forms]
    return ExitCode.HEALTHY if all(written) else ExitCode.USAGE


report = click.Command(
    "report",
    params=[
        click.Argument(["files"], nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."),
        _options.OUTPUT_FILES,
    ],
    callback=_run,
    help="Show saved reports (JSON or HTML), or convert them to another format. Nothing is run.",
    epilog=EPILOG,
)
