"""`gradhealth rules`."""

from __future__ import annotations

import click


@click.command(epilog="\b\nExample:\n  gradhealth rules")
def rules() -> int:
    """List the rules, one per line."""
    from gradcheck_health.cli.commands.explain import listing

    click.echo(listing(), nl=False)
    return 0
