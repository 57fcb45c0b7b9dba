"""`gradhealth explain`."""

from __future__ import annotations

import click


@click.command(epilog="\b\nExample:\n  gradhealth explain vanishing-gradient")
@click.argument("rule")
def explain(rule: str) -> int:
    """Explain a rule: what it finds, how it measures, when that is legitimate, how to fix or accept it."""
    from gradcheck_health.cli.commands.explain import explain as text

    click.echo(text(rule), nl=False)
    return 0
