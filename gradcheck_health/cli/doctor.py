"""`gradhealth doctor`."""

from __future__ import annotations

import click

EPILOG = """\b
Example:
  gradhealth doctor

Exit codes: 0 all is well; 2 something is a problem.
"""


@click.command(epilog=EPILOG)
def doctor() -> int:
    """Check the environment, the settings and the pytest plugin, and run a first check."""
    from gradcheck_health.cli.commands.doctor import run

    return run(lambda text: click.echo(text, nl=False))
