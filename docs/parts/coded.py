"""What the code says: docstrings, signatures, options and fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import typing
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from docs.parts import ROOT
from docs.parts.printed import fenced, run


def rule_table() -> str:
    from gradcheck_health import rules

    rows = [f"| [`{name}`](docs/rules.md#{name}) | {summary(rule)} |" for name, rule in sorted(rules.builtin().items())]
    return "\n".join(["| rule | sick when |", "|---|---|", *rows])


def remedy_table() -> str:
    from gradcheck_health.check.remedies.catalogue import remedies

    rows = [f"| `{name}` | {summary(remedy)} |" for name, remedy in remedies().items()]
    return "\n".join(["| cure | what it is |", "|---|---|", *rows])


def summary(documented: Callable[..., object]) -> str:
    return (inspect.getdoc(documented) or "").partition("\n\n")[0].replace("\n", " ")


def rule_pages() -> str:
    from gradcheck_health import rules
    from gradcheck_health.formats._rule_docs import EXAMPLES, as_markdown, example

    parts = []
    for name, rule in sorted(rules.builtin().items()):
        parts.append(f"## {name}\n\n{as_markdown(inspect.getdoc(rule) or '')}")
        for which, title in EXAMPLES.items():
            if code := example(rule, which):
                parts.append(f"**{title}:**\n\n{fenced(code, 'python')}")
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
    from gradcheck_health.settings.catalogue import SETTINGS, default

    meaning = attribute_docs(ROOT / "gradcheck_health" / "settings" / "config.py", "Config")
    rows = []
    for name, entry in SETTINGS.items():
        said = " ".join(meaning.get(name, "").split())
        rows.append(f"| `{name.replace('_', '-')}` | `{default(name)!r}` | {cell(entry.allowed)} | {cell(said)} |")
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
    from gradcheck_health.records.codec import stored_fields
    from gradcheck_health.records.report import Failure, Report

    parts = []
    for cls in [*dataclasses_of(Report), Failure]:
        meaning = attribute_docs(Path(inspect.getfile(cls)), cls.__name__)
        rows = []
        for field in (field for field in dataclasses.fields(cls) if field.name in stored_fields(cls)):
            said = " ".join(meaning.get(field.name, "").split())
            rows.append(f"| `{field.name}` | {cell(f'`{field.type}`')} | {cell(said)} |")
        about = " ".join((inspect.getdoc(cls) or "").split())
        parts.append("\n".join([f"## {cls.__name__}", "", about, "", "| field | type | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def dataclasses_of(root: type) -> list[type]:
    """The class and those that its fields lead to, each once, in the order in which a reader meets them."""
    from gradcheck_health.records.codec import stored_fields

    found: list[type] = []

    def visit(hint: Any) -> None:
        for argument in typing.get_args(hint):
            visit(argument)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint not in found:
            found.append(hint)
            hints = typing.get_type_hints(hint)
            for name in stored_fields(hint):
                visit(hints[name])

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
