"""`gradhealth init`."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Examples:
  gradhealth init               writes gradhealth.yaml
  gradhealth init --pyproject   adds [tool.gradhealth] to pyproject.toml
"""


@click.command(epilog=EPILOG)
@click.option("--pyproject", is_flag=True, help="Add a table to pyproject.toml instead of writing gradhealth.yaml.")
def init(pyproject: bool) -> int:
    """Write a settings file to start from, everything in it commented out. Existing files are never overwritten."""
    from gradcheck_health.cli.commands.init import write

    click.echo(f"{write(Path(), pyproject)}: written, with every setting commented out")
    return 0
