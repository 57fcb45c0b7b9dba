"""The options that several commands have, in groups: each command names the groups and single options that it takes.

An option that is one setting comes from the catalogue of settings, under its group there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradcheck_health.settings import catalogue
from gradcheck_health.settings.config import FOLDER
from gradcheck_health.settings.setting import Group

FORMATS = sorted(path.stem for path in (Path(__file__).parents[1] / "formats").glob("*.py") if not path.name.startswith("_"))
_FILE = click.Path(path_type=Path)


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(list(names), **attributes)


def _flag(*names: str, text: str) -> click.Option:
    return _option(*names, is_flag=True, help=text)


def plain(*names: str) -> list[click.Parameter]:
    """The options that are these settings."""
    return [_plain(name) for name in names]


def group(name: Group) -> list[click.Parameter]:
    """The options that are the settings of a group, in the order of the catalogue."""
    return plain(*catalogue.options(name))


def _plain(name: str) -> click.Option:
    option = catalogue.OPTIONS[name]
    if catalogue.is_flag(name):
        return _option(f"--{name.replace('_', '-')}", is_flag=True, default=None, help=f"{catalogue.help_text(name)}.")
    kind = click.Choice(option.choices) if option.choices else catalogue.number(name)
    return _option(f"--{name.replace('_', '-')}", type=kind, metavar=option.metavar, help=f"{catalogue.help_text(name)}.")


def inputs(text: str) -> click.Option:
    """`--input`, with what it is for."""
    return _option("--input", "inputs", multiple=True, metavar="[NAME=]SPEC", help=text)


def settings(text: str) -> click.Option:
    """`--set`, with what it is for."""
    return _option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=text)


TARGETS = click.Argument(["targets"], nargs=-1, metavar="TARGET...")
OUTPUT_FILES = _option(
    "-o",
    "outputs",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="Write a report; the suffix says in which format. Repeatable.",
)
OUTPUTS: list[click.Parameter] = [
    OUTPUT_FILES,
    _option(
        "--output-format",
        type=click.Choice(FORMATS),
        help="What goes to standard output (default: terminal, plus annotations in GitHub Actions).",
    ),
]
RULES: list[click.Parameter] = [
    _option("--select", multiple=True, metavar="RULE[,RULE]", help="Run only these rules. Repeatable."),
    _option(
        "--ignore",
        multiple=True,
        metavar="RULE[:PATTERN][=REASON]",
        help="Accept findings of a rule on names that match. Repeatable.",
    ),
]
SETTINGS_FILE = _option("--config", "settings_file", type=_FILE, metavar="FILE", help="Read settings from this file only.")
ISOLATED = _flag("--isolated", text="Read no settings file.")
SETTINGS: list[click.Parameter] = [
    SETTINGS_FILE,
    settings("One setting, such as rules.dead-unit.max_fraction=0.3. Repeatable."),
    *group("rules"),
    ISOLATED,
]
ONLY_REMEDIES = _option(
    "--only", "only_remedies", multiple=True, metavar="NAME[,NAME]", help="Try these cures only. Repeatable."
)
REMEDIES = group("remedies")
EXIT_ZERO = _flag("--exit-zero", text="Exit with 0 in spite of findings; other failures keep their codes.")
VERDICT: list[click.Parameter] = [*group("gate"), EXIT_ZERO]
ARGUMENT = _option(
    "--arg",
    "args",
    multiple=True,
    metavar="NAME=VALUE",
    help="A constructor argument: a Python literal, text, or @FILE for a table; config.depth=2 sets one entry. Repeatable.",
)
MODEL: list[click.Parameter] = [
    *group("model"),
    _option("--checkpoint", metavar="FILE", help="Load these weights first: a .safetensors, .pt, .bin, .ckpt or index file."),
    _option("--checkpoint-key", metavar="KEY", help="The entry of the file that holds the weights, such as state_dict."),
    _option("--checkpoint-prefix", metavar="PREFIX", help="A prefix to strip from the names in the file, such as 'model.'."),
    ARGUMENT,
    inputs("An input, such as x=f32[B,3,32,32]. Repeatable."),
]
AGAINST = _option("--against", metavar="FILE", help="Of a file of weights: compare it with this one, from before the training.")
BASELINE = _option(
    "--baseline",
    is_flag=False,
    flag_value=FOLDER,
    metavar="[FILE|FOLDER]",
    help=f"Fail on what is worse than in the baseline (default folder: {FOLDER}); see gradhealth baseline.",
)
NO_BASELINE = _flag("--no-baseline", text="Ignore the baseline that the settings name.")
FAIL_IF = _option(
    "--fail-if",
    multiple=True,
    metavar="EXPRESSION",
    help="What counts as worse, such as flow:-1dec or dead_fraction:+5pp. Repeatable.",
)
CHANGED_SINCE = _option(
    "--changed-since", metavar="REV", help="Check only targets whose source, imports included, changed since this git revision."
)
RUN: list[click.Parameter] = [
    *group("run"),
    _option("-j", "--jobs", type=click.IntRange(1), default=1, metavar="N", help="Check N targets at once (default: 1)."),
]
QUIET = _flag("-q", "--quiet", text="Show unhealthy models only.")
SCREEN: list[click.Parameter] = [
    _flag("-v", "--verbose", text="Show the flow layer by layer, notes, accepted findings and skipped files."),
    _option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        help="Colour; NO_COLOR and FORCE_COLOR are honoured.",
    ),
]
