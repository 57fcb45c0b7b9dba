"""`gradhealth completion`."""

from __future__ import annotations

from typing import Any

import click

SHELLS = ("bash", "fish", "zsh")
EPILOG = """\b
Examples:
  gradhealth completion bash >> ~/.bashrc
  gradhealth completion zsh >> ~/.zshrc
  gradhealth completion fish > ~/.config/fish/completions/gradhealth.fish
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: Any, shell: str) -> int:
    """Print the script with which a shell completes commands, options and their values."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    script = found(ctx.find_root().command, {}, "gradhealth", "_GRADHEALTH_COMPLETE")
    # not source(), which starts a bash to ask for its version
    click.echo(script.source_template % script.source_vars())
    return 0
