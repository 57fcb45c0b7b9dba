"""`gradhealth check`: the options, and what becomes of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gradcheck_health.baseline.commands import FOLDER
from gradcheck_health.cli.commands import _session

FORMATS = sorted(path.stem for path in (Path(__file__).parents[1] / "formats").glob("*.py") if not path.name.startswith("_"))
EPILOG = """\b
Examples:
  gradhealth check model.py                      every model of the file
  gradhealth check model.py:Net --arg depth=8    one class, with an argument
  gradhealth check package.models:build          a function that returns a model
  gradhealth check models/ -o out.sarif -o out.md  a directory, and files for machines
  gradhealth check model.py --set rules.vanishing-gradient.min_ratio=1e-3
  gradhealth check model.py --ignore 'missing-gradient:teacher.*=frozen on purpose'

Exit codes: 0 healthy; 1 findings at or above --fail-on; 2 usage, settings, or nothing to check; 3 a file or model failed;
4 a process died or ran too long; 130 interrupted. Checking model.py runs model.py: it is isolated, but not a sandbox.
"""


@click.command(epilog=EPILOG)
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option(
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a report; the suffix says in which format. Repeatable.",
)
@click.option(
    "--output-format",
    type=click.Choice(FORMATS),
    help="What goes to standard output (default: terminal, plus annotations in GitHub Actions).",
)
@click.option("--select", multiple=True, metavar="RULE[,RULE]", help="Run only these rules. Repeatable.")
@click.option(
    "--ignore",
    multiple=True,
    metavar="RULE[:PATTERN][=REASON]",
    help="Accept findings of a rule on names that match. Repeatable.",
)
@click.option(
    "--config", "settings_file", type=click.Path(path_type=Path), metavar="FILE", help="Read settings from this file only."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, such as rules.dead-unit.max_fraction=0.3. Repeatable.",
)
@click.option("--preset", metavar="NAME", help="Another tool's rules: sagemaker, autotrainer or deepchecker.")
@click.option("--isolated", is_flag=True, help="Read no settings file.")
@click.option(
    "--fail-on", type=click.Choice(["error", "warning", "note"]), help="The least severity that fails (default: error)."
)
@click.option("--exit-zero", is_flag=True, help="Exit with 0 in spite of findings; other failures keep their codes.")
@click.option("--seed", type=int, help="Seed of inputs, projections and initialisations (default: 0).")
@click.option("--rounds", type=int, help="Measure a model at most this often before a verdict (default: 5).")
@click.option("--device", metavar="DEVICE", help="Where to run, such as cpu or cuda:1 (default: where the model is).")
@click.option("--dtype", metavar="DTYPE", help="Floating dtype, such as float64 (default: the model's).")
@click.option("--checkpoint", metavar="FILE", help="Load these weights first: a .safetensors, .pt, .bin, .ckpt or index file.")
@click.option("--checkpoint-key", metavar="KEY", help="The entry of the file that holds the weights, such as state_dict.")
@click.option("--checkpoint-prefix", metavar="PREFIX", help="A prefix to strip from the names in the file, such as 'model.'.")
@click.option("--batch-size", type=int, metavar="N", help="Number of samples in a made-up batch.")
@click.option(
    "--arg", "args", multiple=True, metavar="NAME=VALUE", help="A constructor argument: a Python literal or text. Repeatable."
)
@click.option("--input", "inputs", multiple=True, metavar="[NAME=]SPEC", help="An input, such as x=f32[B,3,32,32]. Repeatable.")
@click.option(
    "--baseline",
    is_flag=False,
    flag_value=FOLDER,
    metavar="[FILE|FOLDER]",
    help=f"Fail on what is worse than in the baseline (default folder: {FOLDER}); see gradhealth baseline.",
)
@click.option("--no-baseline", is_flag=True, help="Ignore the baseline that the settings name.")
@click.option(
    "--fail-if",
    multiple=True,
    metavar="EXPRESSION",
    help="What counts as worse, such as flow:-1dec or dead_fraction:+5pp. Repeatable.",
)
@click.option(
    "--changed-since", metavar="REV", help="Check only targets whose source, imports included, changed since this git revision."
)
@click.option("--timeout", type=float, metavar="SECONDS", help="Stop a model without a result after this long (default: 300).")
@click.option(
    "--memory",
    metavar="SIZE",
    help="The most memory a model may allocate, such as 8G, or none (default: 0.9 of the machine's).",
)
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, metavar="N", help="Check N targets at once (default: 1).")
@click.option("-q", "--quiet", is_flag=True, help="Show unhealthy models only.")
@click.option("-v", "--verbose", is_flag=True, help="Show the flow layer by layer, notes, accepted findings and skipped files.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour; NO_COLOR and FORCE_COLOR are honoured.",
)
def check(targets: tuple[str, ...], color: str, **options: Any) -> int:
    """Check models: model.py, model.py:Net, package.module:Net, or a directory."""
    from gradcheck_health.cli.commands import _console
    from gradcheck_health.cli.commands import check as checking
    from gradcheck_health.settings.from_options import sources

    targets, options["baseline"] = split_baseline(targets, options["baseline"], options.pop("no_baseline"))
    request = _session.CheckRequest(
        targets=targets,
        sources=sources(options),
        width=_console.width(),
        blocks=_console.has_blocks(sys.stdout),
        **{
            name: options[name]
            for name in (
                "outputs",
                "output_format",
                "settings_file",
                "isolated",
                "exit_zero",
                "jobs",
                "quiet",
                "verbose",
                "changed_since",
            )
        },
    )
    painted = _console.wants_color(sys.stdout, color) and request.output_format in (None, "terminal")
    status = _console.Status(sys.stderr)
    show = status.above(_console.writer(sys.stdout, painted))
    tell = status.above(_console.writer(sys.stderr, painted=False))
    return checking.run(request, show, tell, status)


def split_baseline(targets: tuple[str, ...], baseline: str | None, none: bool) -> tuple[tuple[str, ...], str | None]:
    """Targets and baseline apart: `--baseline model.py` names a model, because no baseline is a Python file.

    Returns:
        The targets, and the baseline: None where the settings decide, "" for none at all.
    """
    if none:
        return targets, ""
    if baseline is not None and (baseline.endswith(".py") or ".py:" in baseline):
        return (baseline, *targets), FOLDER
    return targets, baseline
