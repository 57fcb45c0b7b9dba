"""Fills the parts of README.md and docs/*.md that the code says first: rules, commands, settings, messages.

    python docs/generate.py            writes what stands between <!-- generated: name --> and <!-- end -->
    python docs/generate.py --check    writes nothing; exit code 1 and a diff where a page is stale

Measured numbers may differ in their last digits from one machine to the next: `--check` does not compare those in messages.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import typing
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PART = re.compile(r"(?<=<!-- generated: )(?P<name>[\w-]+)(?P<open> -->\n)(?P<body>(?:(?!<!-- ).)*)(?=<!-- end -->)", re.DOTALL)


def run(*command: str, code: int = 0, holds: str = "", cwd: Path = ROOT) -> str:
    """What a command prints, in 80 columns and without colour.

    Args:
        code: the exit code that it has to end with.
        holds: text that has to stand in what it prints: a traceback must not become documentation.
    """
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80", "TERM": "dumb", "PYTHONPATH": str(ROOT)}
    for name in ("FORCE_COLOR", "CI", "GITHUB_ACTIONS", "GRADHEALTH_CI", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    text = done.stdout if done.stdout.strip() else done.stderr
    if done.returncode != code or holds not in text:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode} (allowed: {code}) and printed:\n{text}")
    return text


def fenced(text: str, language: str = "") -> str:
    return f"```{language}\n{text.strip()}\n```"


def example() -> str:
    """examples/sick.py without its docstring, and with the call where a script would have it."""
    code = (ROOT / "examples" / "sick.py").read_text().partition('"""\n\n')[2]
    return fenced(code.replace('if __name__ == "__main__":\n    ', ""), "python")


def failure() -> str:
    """The message that the example ends with; the traceback above it is Python's."""
    name = "gradcheck_health.UnhealthyGradientsError: "
    text = run("examples/sick.py", code=1, holds=f"\n{name}")
    return fenced(text[text.index(f"\n{name}") :])


def healthy() -> str:
    return fenced("$ gradhealth check examples/sound.py\n" + run("-m", "gradcheck_health", "check", "examples/sound.py"))


def drawn() -> str:
    """The picture of the sick example's flow in the terminal."""
    text = run("-m", "gradcheck_health", "check", "examples/sick.py", code=1, holds="log scale:")
    return fenced(text[text.index("gradient norm at") :].partition("\n\n")[0])


def run_pytest(*arguments: str, **expected: Any) -> str:
    # in a checkout that is not installed nothing announces the plugin
    plugin = () if entry_points(group="pytest11", name="gradhealth") else ("-p", "gradcheck_health.pytest_plugin")
    return run("-m", "pytest", "-p", "no:cacheprovider", *plugin, *arguments, **expected)


def pytest_failure() -> str:
    """What pytest says about a test that hands the sick example to the fixture."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "examples" / "sick.py", folder)
        test = Path(folder) / "test_net.py"
        test.write_text("from sick import Net\n\ndef test_net(gradhealth):\n    gradhealth(Net())\n")
        text = run_pytest("-q", test.name, code=1, holds="Failed: missing-gradient", cwd=Path(folder))
    return fenced(re.sub(r"\n.* failed in .*", "", text[text.index("\n____") :]))


def pytest_options() -> str:
    """The plugin's group out of `pytest --help`."""
    text = run_pytest("--help")
    return fenced(text[text.index("gradient health (") :].partition("\n\n")[0])


def rule_table() -> str:
    from gradcheck_health import rules

    rows = [f"| [`{name}`](docs/rules.md#{name}) | {summary(rule)} |" for name, rule in sorted(rules.builtin().items())]
    return "\n".join(["| rule | sick when |", "|---|---|", *rows])


def summary(documented: Callable[..., object]) -> str:
    return (inspect.getdoc(documented) or "").partition("\n\n")[0].replace("\n", " ")


def rule_pages() -> str:
    from gradcheck_health import rules
    from gradcheck_health.formats._rule_docs import as_markdown

    parts = []
    for name, rule in sorted(rules.builtin().items()):
        parts.append(f"## {name}\n\n{as_markdown(inspect.getdoc(rule) or '')}")
        if options := rules.options(rule):
            rows = [option_row(option, entry) for option, entry in options.items()]
            parts.append("\n".join(["| option | type | default |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def option_row(name: str, entry: inspect.Parameter) -> str:
    return f"| `{name}` | {cell(f'`{entry.annotation}`')} | `{entry.default!r}` |"


@cache
def command_pages() -> str:
    parts = [fenced(run("-m", "gradcheck_health", "--help"))]
    for name in commands():
        parts.append(f"## gradhealth {name}\n\n{fenced(run('-m', 'gradcheck_health', *name.split(), '--help'))}")
    return "\n\n".join(parts)


def commands() -> list[str]:
    """Every command and command of a group, sorted."""
    import click

    from gradcheck_health.cli import cli

    found: list[str] = []
    for name, command in sorted((name, cli.get_command(None, name)) for name in cli.list_commands(None)):
        inside = command.commands if isinstance(command, click.Group) else {}
        found += [name, *(f"{name} {inner}" for inner in sorted(inside))]
    return found


def settings_table() -> str:
    from gradcheck_health.config_schema import Settings

    meaning = attribute_docs(ROOT / "gradcheck_health" / "config.py", "Config")
    rows = []
    for name, field in Settings.model_fields.items():
        said = " ".join(meaning.get(name, "").split())
        rows.append(f"| `{name.replace('_', '-')}` | `{field.default!r}` | {cell(field.description or '')} | {cell(said)} |")
    return "\n".join(["| setting | default | allowed | |", "|---|---|---|---|", *rows])


def functions() -> str:
    """Signature and docstring of the public functions."""
    import gradcheck_health
    from gradcheck_health.formats._rule_docs import as_markdown

    parts = []
    for name in ("check_gradients", "assert_gradients_healthy"):
        function = getattr(gradcheck_health, name)
        parameters = ",\n".join(f"    {entry}" for entry in signature_entries(function))
        head = f"{name}(\n{parameters},\n) -> {inspect.signature(function).return_annotation}"
        parts.append(f"## {name}\n\n{fenced(head)}\n\n{as_markdown(inspect.getdoc(function) or '')}")
    return "\n\n".join(parts)


def signature_entries(function: Callable[..., object]) -> list[str]:
    entries = list(inspect.signature(function).parameters.values())
    shown = [str(entry).replace("'", "") for entry in entries]  # annotations are strings
    first = next((i for i, entry in enumerate(entries) if entry.kind is inspect.Parameter.KEYWORD_ONLY), None)
    return shown if first is None else [*shown[:first], "*", *shown[first:]]


def report_tables() -> str:
    """Every dataclass of a report: what it says about itself, and its fields with their types."""
    from gradcheck_health.formats import Failure
    from gradcheck_health.report import Report

    parts = []
    for cls in [*dataclasses_of(Report), Failure]:
        meaning = attribute_docs(Path(inspect.getfile(cls)), cls.__name__)
        rows = []
        for field in dataclasses.fields(cls):
            said = " ".join(meaning.get(field.name, "").split())
            rows.append(f"| `{field.name}` | {cell(f'`{field.type}`')} | {cell(said)} |")
        about = " ".join((inspect.getdoc(cls) or "").split())
        parts.append("\n".join([f"## {cls.__name__}", "", about, "", "| field | type | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def dataclasses_of(root: type) -> list[type]:
    """The class and those that its fields lead to, each once, in the order in which a reader meets them."""
    found: list[type] = []

    def visit(hint: Any) -> None:
        for argument in typing.get_args(hint):
            visit(argument)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint not in found:
            found.append(hint)
            for inner in typing.get_type_hints(hint).values():
                visit(inner)

    visit(root)
    return found


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def attribute_docs(file: Path, class_name: str) -> dict[str, str]:
    """The strings that stand below the attributes of a class."""
    (body,) = (
        node.body for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef) and node.name == class_name
    )
    found = {}
    for attribute, text in pairwise(body):
        if isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name) and isinstance(text, ast.Expr):
            found[attribute.target.id] = str(ast.literal_eval(text.value))
    return found


def verdict_flips() -> str:
    """Which verdicts the models of benchmarks/verdicts.py got under many seeds."""
    measured = results("verdicts.json")
    rows = []
    for row in measured["rows"]:
        counts = "; ".join(f"{count} {verdict}" for verdict, count in row["verdicts"].items())
        about = f"{row['model']} | {row['label']} | {row['given']}"
        rows.append(f"| {about} | {counts} | {row['flips']:.1%} | {row['rounds']:.2f} |")
    head = ["| model | meant to be | given as | verdicts | flips | seeds a verdict |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", by(measured)])


def borderline() -> str:
    """How well the measure of vanishing-gradient orders the nets of benchmarks/borderline.py."""
    measured = results("borderline.json")
    rows = measured["rows"]
    head = ["| log10 of the ratio | nets | of them train |", "|---|---|---|"]
    edges = [-100.0, -8.0, -6.0, -5.0, -4.1, -3.5, -3.0, -2.5, -2.0, 1.0]
    lines = []
    for low, high in pairwise(edges):
        inside = [row["trains"] for row in rows if low <= row["score"] < high]
        if inside:
            span = f"below {high:g}" if low == edges[0] else f"above {low:g}" if high == edges[-1] else f"{low:g} to {high:g}"
            lines.append(f"| {span} | {len(inside)} | {sum(inside)} |")
    said = (
        f"{len(rows)} nets of the sweep's {measured['of']}, in random order: area under the curve {measured['auc']:.4f}; "
        f"the highest score that does not train is {measured['highest_failing']:g}, the lowest that does "
        f"{measured['lowest_training']:g}."
    )
    return "\n".join([*head, *lines, "", f"{said} {by(measured)}"])


def results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text())


def by(measured: Any) -> str:
    return f"`{measured['command']}`, torch {measured['torch']}."


EXACT = {
    "verdict-flips": verdict_flips,
    "borderline": borderline,
    "example": example,
    "rules": rule_table,
    "rule-pages": rule_pages,
    "commands": command_pages,
    "settings": settings_table,
    "functions": functions,
    "pytest-options": pytest_options,
    "report-tables": report_tables,
}
MEASURED = {"failure": failure, "healthy": healthy, "drawn": drawn, "pytest-failure": pytest_failure}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def without_numbers(text: str) -> str:
    """A message as `--check` compares it: a number is a number, and where a line breaks depends on the numbers in it."""
    return " ".join(re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "N", text).split())


def refreshed(text: str, make: Callable[[str], str]) -> str:
    """The page with its parts made anew; a measured part that differs in nothing but numbers stays as it is."""

    def part(found: re.Match[str]) -> str:
        name, old = found["name"], found["body"]
        fresh = make(name) + "\n"
        if name in MEASURED and without_numbers(old) == without_numbers(fresh):
            fresh = old
        return name + found["open"] + fresh

    return PART.sub(part, text)


@cache
def make_part(name: str) -> str:
    if name not in EXACT and name not in MEASURED:
        raise SystemExit(f"no part is called {name!r}: known are {', '.join([*EXACT, *MEASURED])}")
    return {**EXACT, **MEASURED}[name]()


def main(check: bool) -> int:
    outdated = []
    for path in pages():
        old = path.read_text()
        fresh = refreshed(old, make_part)
        if fresh != old:
            outdated.append(str(path.relative_to(ROOT)))
            print("".join(difflib.unified_diff(old.splitlines(True), fresh.splitlines(True), outdated[-1], "fresh")), end="")
            if not check:
                path.write_text(fresh)
    if check and outdated:
        print(f"stale: {', '.join(outdated)}: run python docs/generate.py", file=sys.stderr)
    return 1 if check and outdated else 0


if __name__ == "__main__":
    raise SystemExit(main(check="--check" in sys.argv[1:]))
