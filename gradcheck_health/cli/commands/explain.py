"""`gradhealth rules` and `gradhealth explain`: what a rule's own docstring and signature say."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

from gradcheck_health import rules
from gradcheck_health.formats._rule_docs import EXAMPLES, example
from gradcheck_health.formats._text import wrap
from gradcheck_health.records.errors import UsageError, did_you_mean
from gradcheck_health.rules import presets, saved

WIDTH = 80


def listing() -> str:
    """Every rule with the first line of its docstring."""
    found = rules.summaries()
    if rules.installed():
        found = {name: _summary(rule) for name, rule in rules.load().items()}
    width = max(map(len, found), default=0)
    lines = [f"{name.ljust(width)}  {summary}" for name, summary in found.items()]
    return "\n".join([*lines, "", "More about one: gradhealth explain RULE"]) + "\n"


def explain(name: str) -> str:
    """The whole docstring of a rule, its bad and its good example, and its options with their defaults.

    Raises:
        UsageError: there is no such rule.
    """
    wanted = name.replace("_", "-")
    known = {wanted: rules.named(wanted)} if wanted in rules.names() else {**rules.load(), **presets.every(), **saved.every()}
    if wanted not in known:
        raise UsageError(f"no rule {name!r}{did_you_mean(wanted, known)}; `gradhealth rules` lists them")
    rule = known[wanted]
    _, *paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(rule.__doc__ or ""))
    heading = "\n".join(wrap(f"{wanted}: {_summary(rule)}", WIDTH, hang=4))
    parts = [heading, *map(_paragraph, paragraphs), *_examples(rule), _options(wanted, rule)]
    return "\n\n".join(parts) + "\n"


def _paragraph(text: str) -> str:
    """Filled to the width of a page, its heading on a line of its own; tables and code stay as they were written."""
    if any(line.startswith(" ") for line in text.splitlines()):
        return text
    heading = re.match(r"[A-Z][a-z ]{2,30}:(?=\s)", text)
    if heading is None:
        return "\n".join(wrap(text, WIDTH))
    return "\n".join([heading[0], *wrap(text[heading.end() :].strip(), WIDTH, first="    ")])


def _examples(rule: Callable[..., Any]) -> list[str]:
    found = [(title, example(rule, which)) for which, title in EXAMPLES.items()]
    return [f"{title}:\n{textwrap.indent(code, '    ')}" for title, code in found if code]


def _summary(rule: Callable[..., Any]) -> str:
    return inspect.cleandoc(rule.__doc__ or "(no description)").partition("\n")[0]


def _options(name: str, rule: Callable[..., Any]) -> str:
    options = rules.options(rule)
    if not options:
        return "Options: none."
    pairs = [(f"{option}: {_type(entry)}", f"default {entry.default!r}") for option, entry in options.items()]
    width = max(len(left) for left, _ in pairs)
    lines = [f"    {left.ljust(width)}  {right}" for left, right in pairs]
    option, entry = next(iter(options.items()))
    value = entry.default if isinstance(entry.default, bool | int | float | str) else _example(_type(entry))
    example = f"    gradhealth check model.py --set rules.{name}.{option}={value}"
    table = f"    [tool.gradhealth.rules.{name}]"
    return "\n".join(
        [
            "Options:",
            *lines,
            "",
            "Set one on the command line or in pyproject.toml:",
            example,
            table,
            f"    {option} = {_toml(value)}",
        ]
    )


def _type(entry: inspect.Parameter) -> str:
    return "any" if entry.annotation is entry.empty else str(getattr(entry.annotation, "__name__", entry.annotation))


def _example(kind: str) -> Any:
    """Some value of an option that has no default."""
    return 0.001 if "float" in kind else 3 if "int" in kind else "text"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
