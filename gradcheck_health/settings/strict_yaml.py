"""The part of YAML 1.2 that a configuration needs, read from parser events; nothing of PyYAML's constructors is run.

Anchors, aliases, merge keys and tags are refused where they appear, before anything is built: they are what alias bombs and
object construction are made of. `1e-8` is a number and `NO` is text, as YAML 1.2 says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 256 * 1024
MAX_NODES = 10_000
MAX_DEPTH = 32

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

Path = tuple[str | int, ...]


class YamlError(ValueError):
    """Text that is no YAML, or more YAML than a configuration may use."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        """1-based; 0 where it is not known."""


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document as dicts, lists, strings, numbers, booleans and None."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)
    """Key path -> 1-based line of the key or list entry."""


def read(text: str) -> Document:
    """Parse one document; an empty one is None.

    Raises:
        YamlError: for every text that is not accepted, and nothing else.
    """
    import yaml

    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise YamlError(0, f"the file is larger than {MAX_BYTES // 1024} KiB")
    try:
        # the C parser neither recurses nor crawls; the Python one is there where PyYAML was built without it
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return _Builder(events).document()
    except YamlError:
        raise
    except Exception as error:  # noqa: BLE001 - ValueError, IndexError, AttributeError and RecursionError were all seen
        # known by its marks, not by its class: where yaml was imported twice, its parser raises the classes of the first
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None)
        if mark is None and problem is None:
            raise YamlError(0, f"this is not YAML ({type(error).__name__}: {error})") from None
        raise YamlError(mark.line + 1 if mark else 0, problem or "this is not YAML") from None


def scalar(text: str) -> Any:
    """What an unquoted word stands for under the YAML 1.2 core schema."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float("nan") if special[3] else float(f"{special[1]}inf")
    return text


class _Builder:
    """Events to values, with limits."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.nodes = 0
        self.lines: dict[Path, int] = {}

    def document(self) -> Document:
        value: Any = None
        documents = 0
        for event in self.events:
            if type(event).__name__ == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise YamlError(_line(event), "a second document: a configuration is one document")
                value = self.node(next(self.events), (), 0)
        return Document(value, self.lines)

    def node(self, event: Any, path: Path, depth: int) -> Any:
        self.admit(event, depth)
        kind = type(event).__name__
        if kind == "ScalarEvent":
            return scalar(event.value) if event.implicit[0] else event.value
        if kind == "SequenceStartEvent":
            return self.sequence(path, depth)
        return self.mapping(path, depth)

    def admit(self, event: Any, depth: int) -> None:
        line = _line(event)
        self.nodes += 1
        if type(event).__name__ == "AliasEvent" or event.anchor is not None:
            raise YamlError(line, "anchors and aliases (& and *) are not read: write the value out, or put it in quotes")
        if event.tag is not None:
            raise YamlError(line, f"tags (here {event.tag!r}) are not read: write a plain value, or put it in quotes")
        if self.nodes > MAX_NODES:
            raise YamlError(line, f"more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise YamlError(line, f"nested more than {MAX_DEPTH} deep")

    def sequence(self, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        while type(event := next(self.events)).__name__ != "SequenceEndEvent":
            here = (*path, len(items))
            self.lines[here] = _line(event)
            items.append(self.node(event, here, depth + 1))
        return items

    def mapping(self, path: Path, depth: int) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while type(event := next(self.events)).__name__ != "MappingEndEvent":
            self.admit(event, depth)
            if type(event).__name__ != "ScalarEvent":
                raise YamlError(_line(event), "a key must be a word")
            key = event.value
            if key == "<<" and event.implicit[0]:
                raise YamlError(_line(event), "merge keys (<<) are not read: write the entries out")
            here = (*path, key)
            if key in table:
                raise YamlError(_line(event), f"{key!r} stands twice, first on line {self.lines[here]}")
            self.lines[here] = _line(event)
            table[key] = self.node(next(self.events), here, depth + 1)
        return table


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
