"""What the built-in rules say about themselves, for documents that carry a rule's description."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from gradcheck_health import rules

EXAMPLES = {"sick": "Bad", "healthy": "Good"}
"""The example models that stand beside a rule, and what they are called in its documentation."""

_HEADINGS = re.compile(
    r"^(What it does|Why it is bad|How it is measured|When it is legitimate|How to fix|How to silence): ", re.MULTILINE
)
_SECTIONS = re.compile(r"^(Args|Returns|Raises):\n((?:    .*\n?)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RuleDoc:
    """A rule's docstring."""

    summary: str
    text: str
    markdown: str


@cache
def rule_doc(name: str) -> RuleDoc | None:
    """The docstring of a built-in rule; None for a rule from elsewhere, whose code a format does not import."""
    if name not in rules.names():
        return None
    text = inspect.getdoc(rules.builtin()[name]) or ""
    return RuleDoc(text.partition("\n\n")[0].replace("\n", " "), text, as_markdown(text))


def example(rule: Callable[..., Any], which: str) -> str | None:
    """The code of `sick()` or `healthy()` as a script that ends with a `model`; None where the rule has none to show."""
    function = getattr(sys.modules.get(rule.__module__), which, None)
    try:
        source = textwrap.dedent(inspect.getsource(function))  # type: ignore[arg-type]
        (definition,) = ast.parse(source).body
    except (OSError, TypeError, SyntaxError, ValueError):  # no such function, or one without a source
        return None
    if not isinstance(definition, ast.FunctionDef) or not isinstance(end := definition.body[-1], ast.Return):
        return None
    lines = source.splitlines()
    about = ast.get_docstring(definition)
    first = definition.body[1 if about else 0].lineno
    result = textwrap.dedent("\n".join(lines[end.lineno - 1 :]))
    made = "" if result == "return model" else result.replace("return ", "model = ", 1)
    body = textwrap.dedent("\n".join(lines[first - 1 : end.lineno - 1]))
    comment = "".join(f"# {line}\n" for line in (about or "").splitlines())
    code = f"{comment}{body}\n{made}".replace(" = healthy()", " = good_example()").strip()
    for home in ("training", "scale"):
        code = code.replace(
            f"from gradcheck_health.records.{home} import", "from gradcheck_health import"
        )  # where users find it
    # a class or a function inside a function becomes one of a script: two empty lines before it and behind it
    return re.sub(r"(\n +\S.*)\n\n(?=\S)", r"\1\n\n\n", re.sub(r"\n\n(?=class |def )", "\n\n\n", code))


def as_markdown(text: str) -> str:
    """A docstring: `How to fix: ...` at the start of a paragraph and `Args:` alone on a line become bold."""
    text = _HEADINGS.sub(r"**\1:** ", text)
    return _SECTIONS.sub(lambda found: f"**{found[1]}**\n\n{_items(found[2])}", text)


def _items(block: str) -> str:
    """The indented entries of `Args:` as a list."""
    block = re.sub(r"^    (?=\S)(\w+(?:, \w+)*): ", r"- `\1`: ", block, flags=re.MULTILINE)
    return re.sub(r"^ {8}", "  ", block, flags=re.MULTILINE)
