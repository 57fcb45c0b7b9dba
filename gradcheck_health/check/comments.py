"""Comments that accept a finding where it arises: `# gradhealth: ignore[rule] -- the reason`.

A comment counts for what its own line builds or runs; at the end of a statement of several lines, for the whole statement.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from gradcheck_health.check.suppressions import part
from gradcheck_health.records.errors import UsageError, did_you_mean
from gradcheck_health.records.finding import Finding

MARK = "gradhealth:"
_COMMENT = re.compile(r"#\s*gradhealth:\s*(.*)")
_BODY = re.compile(r"ignore\[([\w\-, ]+)\]\s*--\s*(\S.*)")
ALLOWED = "# gradhealth: ignore[rule, rule] -- the reason"


@dataclass(frozen=True, slots=True)
class Code:
    """A file of the user, and the lines of it that a model is made of."""

    path: str
    """As in `Place.source`."""
    text: str
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment."""

    path: str
    line: int
    first: int
    """The first line that it counts for; the last is its own."""
    rules: tuple[str, ...]
    reason: str

    def covers(self, source: str | None) -> bool:
        """It counts for what stands at this `file:line`."""
        path, _, line = (source or "").rpartition(":")
        return path == self.path and line.isdecimal() and self.first <= int(line) <= self.line


def comments(code: Sequence[Code], known: Collection[str]) -> list[Comment]:
    """The comments in a model's code.

    Args:
        known: names of the rules that there are.

    Raises:
        UsageError: every comment that is written wrong, with its line.
    """
    found: list[Comment] = []
    wrong: list[str] = []
    for file in code:
        for line, body in _bodies(file):
            if (read := _BODY.fullmatch(body)) is None:
                wrong.append(f"{file.path}:{line}: got `# gradhealth: {body}`; allowed: {ALLOWED}")
                continue
            rules = tuple(name.strip() for name in read[1].split(",") if name.strip())
            wrong += [
                f"{file.path}:{line}: no rule {name!r}{did_you_mean(name, known) or '; see `gradhealth rules`'}"
                for name in rules
                if name not in known
            ]
            found.append(Comment(file.path, line, _first(file.text, line), rules, read[2].strip()))
    if wrong:
        raise UsageError("\n  ".join(wrong))
    return found


def silence(
    findings: Sequence[Finding], comments: Sequence[Comment], ran: Collection[str]
) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings, those that a comment accepts with its reason, and the comments on rules that ran which matched nothing."""
    used: set[tuple[Comment, str]] = set()
    result = []
    for finding in findings:
        reasons: dict[str, str] = {}
        for place in finding.places:
            for comment in comments:
                if finding.rule in comment.rules and comment.covers(place.source):
                    used.add((comment, finding.rule))
                    reasons[place.name] = f"{comment.reason} ({comment.path}:{comment.line})"
        result.append(part(finding, reasons))
    unmatched = [
        f"{comment.path}:{comment.line}: ignore[{rule}]"
        for comment in comments
        for rule in comment.rules
        if rule in ran and (comment, rule) not in used
    ]
    return result, tuple(unmatched)


def _bodies(file: Code) -> Iterator[tuple[int, str]]:
    """(line, what stands behind `gradhealth:`) of the comments in the ranges."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(file.text).readline))
    except (tokenize.TokenError, SyntaxError):
        return
    for token in tokens:
        line = token.start[0]
        inside = token.type == tokenize.COMMENT and any(first <= line <= last for first, last in file.ranges)
        if inside and (found := _COMMENT.fullmatch(token.string.rstrip())):
            yield line, found[1]


def _first(text: str, line: int) -> int:
    """The first line of the simple statement that ends on this one; this one where none does."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return line
    spans = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not hasattr(node, "body") and node.end_lineno == line
    ]
    return max(spans, default=line)
