"""`gradhealth config`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradcheck_health.cli import _options

EPILOG = """\b
Examples:
  gradhealth config                        what holds here, and where it was set
  gradhealth config nets/gan.py:Generator  the overrides for one model included
  gradhealth config --schema               the JSON Schema of the settings, for an editor
"""


def _run(target: str | None, settings_file: Path | None, isolated: bool, schema: bool, **options: Any) -> int:
    if schema:
        text = Path(__file__).parents[1].joinpath("settings.schema.json").read_text(encoding="utf-8")
        click.echo(text, nl=False)
        return 0
    from gradcheck_health.cli.commands.config import render
    from gradcheck_health.settings.config_files import in_files
    from gradcheck_health.settings.from_options import sources
    from gradcheck_health.targets.importing import make_importable

    make_importable(Path.cwd())  # for rules of the user
    found = [*in_files(settings_file, isolated), *sources(options)]
    if any(source.table.get("extra_rules") or source.table.get("extra-rules") for source in found):
        click.echo("the settings name extra_rules: their modules are imported, to check what is set for them", err=True)
    click.echo(render(found, target), nl=False)
    return 0


config = click.Command(
    "config",
    params=[
        click.Argument(["target"], required=False),
        _options.SETTINGS_FILE,
        _options.ISOLATED,
        _options.settings("One setting, as for check. Repeatable."),
        click.Option(["--schema"], is_flag=True, help="Print the JSON Schema of the settings instead."),
    ],
    callback=_run,
    help="Show every setting, its value, and the file and line that set it.",
    epilog=EPILOG,
)
