"""What the built-in rules say about themselves, for documents that carry a rule's description."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from functools import cache

from gradcheck_health import rules

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
    """The docstring of a built-in rule; None for the rule of somebody else, whose code a format does not import."""
    if name not in rules.names():
        return None
    text = inspect.getdoc(rules.builtin()[name]) or ""
    return RuleDoc(text.partition("\n\n")[0].replace("\n", " "), text, as_markdown(text))


def as_markdown(text: str) -> str:
    """A docstring: `How to fix: ...` at the start of a paragraph and `Args:` alone on a line become bold."""
    text = _HEADINGS.sub(r"**\1:** ", text)
    return _SECTIONS.sub(lambda found: f"**{found[1]}**\n\n{_items(found[2])}", text)


def _items(block: str) -> str:
    """The indented entries of `Args:` as a list."""
    block = re.sub(r"^    (?=\S)(\w+(?:, \w+)*): ", r"- `\1`: ", block, flags=re.MULTILINE)
    return re.sub(r"^ {8}", "  ", block, flags=re.MULTILINE)
