"""`gradhealth remedy`: the options, and what becomes of them."""

from __future__ import annotations

from typing import Any

import click

from gradcheck_health.cli import _options

EPILOG = """\b
Examples:
  gradhealth remedy model.py:Net
  gradhealth remedy model.py:Net --steps 50            the three best are trained for 50 steps, too
  gradhealth remedy model.py:Net --only layer-norm,he-init

Each cure is applied to the model, measured and undone; none edits a file. Exit codes: those of gradhealth check.
"""


def _run(targets: tuple[str, ...], color: str, **options: Any) -> int:
    from gradcheck_health.cli.check import run_checks

    return run_checks(targets, color, {**options, "remedies": True}, "remedy")


STEPS = click.Option(
    ["--steps", "remedy_steps"],
    type=int,
    metavar="N",
    help="Train the three best cures of a finding for so many steps, and compare (default: 0).",
)
remedy = click.Command(
    "remedy",
    params=[
        _options.TARGETS,
        STEPS,
        _options.ONLY_REMEDIES,
        *_options.OUTPUTS,
        *_options.RULES,
        *_options.SETTINGS,
        *_options.VERDICT,
        *(option for option in _options.MODEL if option.name != "steps"),
        *_options.RUN,
        *_options.SCREEN,
    ],
    callback=_run,
    help="Try cures on what is sick: which of them were measured to help, what to change, and which do not help.",
    epilog=EPILOG,
)
