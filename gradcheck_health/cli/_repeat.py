"""The options of a command as they would be typed again, so that a report can say how it is repeated."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from gradcheck_health.formats._text import quoted

_OF_THE_RUN = (
    "outputs",
    "output_format",
    "exit_zero",
    "changed_since",
    "jobs",
    "quiet",
    "verbose",
    "color",
    "baseline",
    "seed",
)
"""Options that change nothing of a verdict, and those that are added by themselves."""


def typed_options(baseline: str | None) -> tuple[str, ...]:
    """Every option of the running command that was given and that a verdict depends on, each quoted for a shell.

    Args:
        baseline: the one that was given; None where no option named one.
    """
    context = click.get_current_context()
    found = [f"--baseline={quoted(baseline)}"] if baseline else []
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None)
        if isinstance(parameter, click.Option) and given and name not in _OF_THE_RUN:
            found += _typed(parameter, context.params.get(name))
    return tuple(found)


def _typed(option: click.Option, value: Any) -> list[str]:
    flag = option.opts[-1]
    if option.is_flag:
        return [flag] if value else []
    values = value if option.multiple else [value]
    return [_pair(flag, _text(one)) for one in values]


def _text(value: Any) -> str:
    if isinstance(value, tuple):  # sizes
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pair(flag: str, text: str) -> str:
    # what begins like an option would be taken for one
    return f"{flag}={quoted(text)}" if text.startswith("-") else f"{flag} {quoted(text)}"
