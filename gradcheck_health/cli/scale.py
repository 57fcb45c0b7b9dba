"""`gradhealth scale`: the options, and what becomes of them."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from gradcheck_health.cli import _options

EPILOG = """\b
Examples:
  gradhealth scale model.py:build --depth 2,4,8,16
  gradhealth scale model.py:build --depth 2,4,8 --width 64,128,256,512 -j 4
  gradhealth scale model.py:GPT --depth 2,4,8 --depth-name config.n_layer
  gradhealth scale model.py:build --width 64,128,256,512 -o scale.html

Depths are measured at the first width, widths at the first depth, each under --rounds seeds. A size that cannot be built
or run is left out with the reason. Exit codes: those of gradhealth check; the findings are those of the first size.
"""


class _Sizes(click.ParamType):  # type: ignore[type-arg]
    """`2,4,8,16`."""

    name = "sizes"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",") if part.strip()]
        odd = [part for part in parts if not re.fullmatch(r"[0-9]{1,9}", part)]
        if odd or not parts:
            self.fail(
                f"got {(odd or [value])[0]!r}; allowed: whole numbers with commas between them, such as 2,4,8", param, ctx
            )
        return tuple(map(int, parts))


def _run(targets: tuple[str, ...], color: str, depth: tuple[int, ...], width: tuple[int, ...], **options: Any) -> int:
    from gradcheck_health.cli._repeat import typed_options
    from gradcheck_health.cli.commands import _console, _session
    from gradcheck_health.cli.commands import scale as scaling
    from gradcheck_health.settings.from_options import sources

    request = _session.CheckRequest(
        targets=targets,
        sources=sources(options),
        width=_console.width(),
        blocks=_console.has_blocks(sys.stdout),
        options=typed_options(None),
        command="scale",
        **{name: options[name] for name in _OF_THE_REQUEST},
    )
    names = {what: options[f"{what}_name"] for what in ("depth", "width")}
    painted = _console.wants_color(sys.stdout, color) and request.output_format in (None, "terminal")
    status = _console.Status(sys.stderr)
    show = status.above(_console.writer(sys.stdout, painted))
    tell = status.above(_console.writer(sys.stderr, painted=False))
    return scaling.run(scaling.SweepRequest(request, depth, width, names), show, tell, status)


_OF_THE_REQUEST = ("outputs", "output_format", "settings_file", "isolated", "exit_zero", "jobs", "verbose")


def _sizes(what: str, text: str) -> list[click.Parameter]:
    return [
        click.Option([f"--{what}"], type=_Sizes(), default=(), metavar="N,N...", help=text),
        click.Option(
            [f"--{what}-name"],
            metavar="NAME",
            help=f"The argument that is the {what}, such as {_USUAL[what]} (default: found).",
        ),
    ]


_USUAL = {"depth": "n_layer or config.n_layer", "width": "d_model or config.n_embd"}
scale = click.Command(
    "scale",
    params=[
        _options.TARGETS,
        *_sizes("depth", "Depths to build it in; three tell an exponential from a power law."),
        *_sizes("width", "Widths to build it in; four are judged."),
        *_options.OUTPUTS,
        *_options.RULES,
        *_options.SETTINGS,
        *_options.VERDICT,
        *(option for option in _options.MODEL if option.name != "steps"),
        *_options.RUN,
        *_options.SCREEN,
    ],
    callback=_run,
    help="Build a model in several depths and widths: how its health and cost change, and at which depth the gradient is lost.",
    epilog=EPILOG,
)
