"""`gradhealth infer`: the options, and what becomes of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

EPILOG = """\b
Examples:
  gradhealth infer model.py:Net
  gradhealth infer model.py:Net --save gradhealth.yaml       later checks use them
  gradhealth infer model.py:Net --input 'mask=bool[B,7]'     the rest is inferred around it

Exit codes: 0 every target has inputs; 2 usage or settings; 3 nothing could be made up, or a file or model failed; 4 a process
died or ran too long.
"""


@click.command(epilog=EPILOG)
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write them into gradhealth.yaml or pyproject.toml, where every check reads them.",
)
@click.option(
    "--config", "settings_file", type=click.Path(path_type=Path), metavar="FILE", help="Read settings from this file only."
)
@click.option("--isolated", is_flag=True, help="Read no settings file.")
@click.option("--seed", type=int, help="Seed of inputs and initialisations (default: 0).")
@click.option("--device", metavar="DEVICE", help="Where to run, such as cpu or cuda:1 (default: where the model is).")
@click.option("--dtype", metavar="DTYPE", help="Floating dtype, such as float64 (default: the model's).")
@click.option("--batch-size", type=int, metavar="N", help="Number of samples in a made-up batch.")
@click.option(
    "--arg", "args", multiple=True, metavar="NAME=VALUE", help="A constructor argument: a Python literal or text. Repeatable."
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]SPEC",
    help="An input that is known, such as x=f32[B,3,32,32]. Repeatable.",
)
@click.option("--memory", metavar="SIZE", help="The most memory a model may allocate, such as 8G, or none.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Stop a model without a result after this long (default: 300).")
def infer(targets: tuple[str, ...], **options: Any) -> int:
    """Show the inputs that a check would make up, and where each size comes from. Nothing is judged."""
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
