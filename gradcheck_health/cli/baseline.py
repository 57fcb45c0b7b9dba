"""`gradhealth baseline`: its commands, which take the settings that `gradhealth check` takes."""

from __future__ import annotations

import sys
from typing import Any

import click

from gradcheck_health.cli import _options
from gradcheck_health.cli.check import check as check_command
from gradcheck_health.cli.check import split_baseline
from gradcheck_health.settings.config import FOLDER

EPILOG = """\b
Examples:
  gradhealth baseline write model.py          one file for each model, to review and commit
  gradhealth baseline check model.py          the gate: gradhealth check --baseline
  gradhealth baseline update model.py --reason "wider head, see the pull request"
  gradhealth baseline prune model.py          drop accepted findings that are gone
  gradhealth baseline show                    what is accepted, and how the gradient flows

A baseline holds the accepted findings with their reasons, and the gradient norm at each layer in decades (powers of ten) with
its spread over seeds. Nothing is written where the variable CI is set.
"""
REASON = click.Option(["--reason"], metavar="TEXT", help="Why findings that are new to the baseline are accepted.")
FORCE = click.Option(["--force"], is_flag=True, help="Replace a baseline and its reasons.")


@click.group(epilog=EPILOG)
def baseline() -> None:
    """Record what later checks compare a model with: accepted findings, gradient flow."""


_WRITING = (
    _options.TARGETS,
    *_options.RULES,
    *_options.SETTINGS,
    *_options.MODEL,
    _options.BASELINE,
    *_options.RUN,
    *_options.SCREEN,
)


def _writer(action: str, text: str, *more: click.Parameter) -> None:
    """A command that changes baselines."""

    def call(**options: Any) -> int:
        from gradcheck_health.baseline import NO_REASON
        from gradcheck_health.cli.commands import _console, _session
        from gradcheck_health.cli.commands import baseline as writing
        from gradcheck_health.settings.from_options import sources

        targets, options["baseline"] = split_baseline(options["targets"], options["baseline"], none=False)
        request = _session.CheckRequest(
            targets=targets,
            sources=sources(options),
            settings_file=options["settings_file"],
            isolated=options["isolated"],
            width=_console.width(),
        )
        reason = (options.get("reason") or "").strip() or NO_REASON
        order = writing.Order(action, request, reason, bool(options.get("force")))
        status = _console.Status(sys.stderr)
        show = status.above(_console.writer(sys.stdout, _console.wants_color(sys.stdout, options["color"])))
        tell = status.above(_console.writer(sys.stderr, painted=False))
        return writing.run(order, show, tell, status)

    example = f"\b\nExample:\n  gradhealth baseline {action} model.py:Net"
    baseline.add_command(click.Command(action, params=[*_WRITING, *more], callback=call, help=text, epilog=example))


_writer("write", "Measure models and write a baseline for each that has none.", REASON, FORCE)
_writer("update", "Measure models again: accept what is new, drop what is gone, keep the reasons.", REASON)
_writer("prune", "Drop accepted findings that are gone; the flow stays as it was written.")


def _gate(**options: Any) -> Any:
    options["baseline"] = options["baseline"] if options["baseline"] is not None else FOLDER
    return click.get_current_context().invoke(check_command, **options)


baseline.add_command(
    click.Command(
        "check",
        params=[
            _options.TARGETS,
            *_options.OUTPUTS,
            *_options.RULES,
            *_options.SETTINGS,
            *_options.VERDICT,
            *_options.MODEL,
            _options.BASELINE,
            _options.FAIL_IF,
            _options.CHANGED_SINCE,
            *_options.RUN,
            _options.QUIET,
            *_options.SCREEN,
        ],
        callback=lambda **options: _gate(no_baseline=False, **options),
        help="Fail on what is worse than in the baseline: gradhealth check --baseline.",
        epilog="\b\nExample:\n  gradhealth baseline check model.py:Net --fail-if flow:-1dec",
    )
)


@baseline.command(epilog="\b\nExample:\n  gradhealth baseline show model.py:Net")
@click.argument("names", nargs=-1, metavar="[FILE|FOLDER|TARGET]...")
@click.option("--baseline", "place", default=FOLDER, metavar="FOLDER", help=f"The folder of the baselines (default: {FOLDER}).")
def show(names: tuple[str, ...], place: str) -> int:
    """Print the baselines of a folder."""
    from gradcheck_health.cli.commands import _console
    from gradcheck_health.cli.commands import baseline as showing

    return showing.show(names, place, _console.writer(sys.stdout, painted=False), _console.width())
