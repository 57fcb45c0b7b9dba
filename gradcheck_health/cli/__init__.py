"""The command `gradhealth`. The only place that knows click: it parses, calls `commands`, prints and exits.

One file a command, with a click command of the same name in it (`config.py` holds `config`, `baseline.py` a group
`baseline`). A file that is present is a command that is present.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gradcheck_health.cli._streams import (
    OutputError,
    ReaderGoneError,
    give_up_output,
    internal_error,
    interruptible,
    open_streams,
)
from gradcheck_health.records.errors import ExitCode, GradhealthError, did_you_mean
from gradcheck_health.records.version import __version__

EPILOG = """\b
Examples:
  gradhealth check model.py
  gradhealth check model.py:Net --arg depth=8 -o report.json
  gradhealth explain vanishing-gradient
"""


class _Commands(click.Group):
    """Finds its commands by their files, and suggests the nearest name for a mistyped one."""

    def list_commands(self, ctx: Any) -> list[str]:
        stems = (path.stem for path in Path(__file__).parent.glob("*.py"))
        return sorted(stem.replace("_", "-") for stem in stems if not stem.startswith("_"))

    def get_command(self, ctx: Any, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        stem = name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{stem}"), stem)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            hint = did_you_mean(name, known) or (f" (gradhealth check {name}?)" if name.endswith(".py") or "/" in name else "")
            raise click.UsageError(f"no command {name!r}{hint}: known are {', '.join(known)}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would exit with 1, which here means findings
            raise ReaderGoneError from error
        except OSError as error:
            if error.filename is None and error.errno in (errno.ENOSPC, errno.EIO, errno.EFBIG):  # of a stream, not of a file
                raise OutputError(f"standard output cannot be written: {error.strerror}") from error
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(__version__, message="gradhealth %(version)s")
def cli() -> None:
    """Gradient health checks for PyTorch models: what is sick in the backward pass, where it starts, and what helps."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: instead of those of the process.
    """
    open_streams()
    try:
        with interruptible():
            code = cli.main(args=arguments, prog_name="gradhealth", standalone_mode=False)
    except click.ClickException as error:
        with contextlib.suppress(OSError):  # the code tells it, too
            error.show()
        code = error.exit_code
    except GradhealthError as error:
        from gradcheck_health.formats._text import safe_lines

        with contextlib.suppress(OSError):
            click.echo(safe_lines(f"error: {error}"), err=True)
        if isinstance(error, OutputError):
            give_up_output()
        code = error.exit_code if error.exit_code in (2, 3, 4) else GradhealthError.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = ExitCode.INTERRUPTED
    except ReaderGoneError:
        give_up_output()
        code = ExitCode.READER_GONE
    except Exception as error:  # noqa: BLE001 - the last handler: a fault of ours is no finding
        code = internal_error(error)
    sys.exit(code or 0)
