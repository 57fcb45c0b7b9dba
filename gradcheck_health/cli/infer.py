"""`gradhealth infer`: the options, and what becomes of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gradcheck_health.cli import _options

EPILOG = """\b
Examples:
  gradhealth infer model.py:Net
  gradhealth infer model.py:Net --save gradhealth.yaml       later checks use them
  gradhealth infer model.py:Net --input 'mask=bool[B,7]'     the rest is inferred around it

Exit codes: 0 every target has inputs; 2 usage or settings; 3 nothing could be made up, or a file or model failed; 4 a process
died or ran too long.
"""


def _run(targets: tuple[str, ...], **options: Any) -> int:
    from gradcheck_health.cli.commands import _console
    from gradcheck_health.cli.commands import infer as inferring
    from gradcheck_health.settings.from_options import sources

    request = inferring.InferRequest(
        targets=targets,
        sources=sources(options),
        width=_console.width(),
        **{name: options[name] for name in ("save", "settings_file", "isolated")},
    )
    status = _console.Status(sys.stderr)
    show = status.above(_console.writer(sys.stdout, painted=False))
    tell = status.above(_console.writer(sys.stderr, painted=False))
    return inferring.run(request, show, tell, status)


SAVE = click.Option(
    ["--save"],
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write them into gradhealth.yaml or pyproject.toml, where every check reads them.",
)
infer = click.Command(
    "infer",
    params=[
        _options.TARGETS,
        SAVE,
        _options.SETTINGS_FILE,
        _options.ISOLATED,
        *_options.plain("seed", "device", "dtype", "batch_size"),
        _options.ARGUMENT,
        _options.inputs("An input that is known, such as x=f32[B,3,32,32]. Repeatable."),
        *_options.plain("memory", "timeout"),
    ],
    callback=_run,
    help="Show the inputs that a check would make up, and where each size comes from. Nothing is judged.",
    epilog=EPILOG,
)
