"""One argument in the little language, read and written: a tensor, a constant, or a container of them.

`f32[B,3,S,S]` is a tensor (see `spec`), `3`, `true`, `none` and `"text"` are constants, `(a, b)` is a tuple, `[a, b]` a list,
`{key: a}` a dict and `(.name: a)` an object with attributes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from gradcheck_health.inputs.language.tensor_spec import parse
from gradcheck_health.inputs.plan import Const, Group, Leaf, Node, Plan
from gradcheck_health.records.errors import InputsError

_WORDS = {"true": True, "false": False, "none": None, "null": None, "True": True, "False": False, "None": None}
_ENDS = {"(": ")", "[": "]", "{": "}"}
_SHORT = {
    "float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16", "int64": "i64", "int32": "i32", "int16": "i16",
    "int8": "i8", "uint8": "u8", "complex64": "c64", "complex128": "c128", "bool": "bool",
}  # fmt: skip
_KINDS = {"float": "f32", "int": "i64", "bool": "bool", "complex": "c64"}
_DTYPES = frozenset((*_SHORT, *_SHORT.values(), *_KINDS, *_KINDS.values(), "double", "half", "long"))
DEPTH = 20


def parse_node(text: str, where: str, sizes: dict[str, int], depth: int = 0) -> Node:
    """What the text means; sizes that it names for the first time are added to `sizes`.

    Raises:
        InputsError: naming the place, what was written, and the nearest valid form.
    """
    text = text.strip()
    if depth > DEPTH:
        raise InputsError(f"more than {DEPTH} brackets in each other: no forward takes that", where)
    if text in _WORDS or re.fullmatch(r"[-+]?\d[\d_.eE+-]*|[\"'].*[\"']", text):
        return Const(_WORDS[text] if text in _WORDS else _literal(text, where), fixed=True)
    end = _ENDS.get(text[:1])
    if end is None:
        return parse(text, where, sizes)
    if not text.endswith(end):
        raise InputsError(f"{text!r} opens with {text[0]!r} and does not end with {end!r}", where)
    parts = list(_split(text[1:-1]))
    if text[0] == "(" and parts and all(part.lstrip().startswith(".") for part in parts):
        return Group(_keyed([part.lstrip()[1:] for part in parts], text, where, sizes, depth), "object")
    if text[0] == "{":
        return Group(_keyed(parts, text, where, sizes, depth), "dict")
    items = tuple((i, parse_node(part, f"{where}[{i}]", sizes, depth + 1)) for i, part in enumerate(parts))
    return Group(items, "tuple" if text[0] == "(" else "list")


def reads_as_spec(text: str) -> bool:
    """It is written in the little language, or was meant to be; any other text is a value for itself.

    Text that looks like a spec is quoted: "'f32[3]'".
    """
    text = text.strip()
    if text in _WORDS or text[:1] in ("'", '"') and text[:1] == text[-1:] and len(text) > 1:
        return True
    if re.fullmatch(r"[-+]?\d[\d_.eE+-]*|[A-Z\d]+(\s*,\s*[A-Z\d]+)+", text) or _ENDS.get(text[:1]) == text[-1:] != "":
        return True
    return re.match(r"[A-Za-z]+\d*\s*[\[(<]", text) is not None or text in _DTYPES


def _literal(text: str, where: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise InputsError(f"{text!r} is neither a number nor quoted text", where) from None


def _keyed(parts: list[str], text: str, where: str, sizes: dict[str, int], depth: int) -> tuple[tuple[str | int, Node], ...]:
    items: list[tuple[str | int, Node]] = []
    for part in parts:
        key, colon, value = part.partition(":")
        if not colon:
            raise InputsError(f"{part.strip()!r} in {text!r} has no key: write key: value", where)
        name = key.strip().strip("\"'")
        items.append((name, parse_node(value, f"{where}[{name!r}]", sizes, depth + 1)))
    return tuple(items)


def _split(text: str) -> Iterator[str]:
    """Parts between the commas that stand in no bracket."""
    depth, start = 0, 0
    for i, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            yield text[start:i]
            start = i + 1
    if text[start:].strip():
        yield text[start:]


def write(plan: Plan, node: Node) -> str | None:
    """The node as text that reads back as the same; None for what the language has no words for."""
    if isinstance(node, Leaf):
        return write_leaf(plan, node)
    if isinstance(node, Const):
        return _constant(node.value)
    parts = {key: write(plan, item) for key, item in node.items}
    if None in parts.values():
        return None
    if node.form == "dict":
        return "{" + ", ".join(f"{key}: {text}" for key, text in parts.items()) + "}"
    if node.form == "object":
        return "(" + ", ".join(f".{key}: {text}" for key, text in parts.items()) + ")"
    inside = ", ".join(str(text) for text in parts.values())
    return f"[{inside}]" if node.form == "list" else f"({inside})" if len(parts) != 1 else f"({inside},)"


def write_leaf(plan: Plan, leaf: Leaf) -> str | None:
    """`i64[B,7]<50257`: numbers for all sizes but the batch."""
    if leaf.placeholder is not None or leaf.among:
        return None
    dims = ",".join("B" if dim == "B" else str(plan.size(dim)) for dim in leaf.dims)
    low = f">={leaf.low}" if leaf.kind == "int" and leaf.low else ""
    high = "" if leaf.kind != "int" or leaf.high is None else f"<{'B' if leaf.high == 'B' else plan.size(leaf.high)}"
    fill = {"normal": "", "zeros": "=0", "ones": "=1"}.get(leaf.fill, f"={leaf.fill}")
    # the bound of lengths and positions is part of their meaning, whatever their dtype
    if leaf.kind != "int" and leaf.high is not None and leaf.fill not in ("normal", "mask", "padding", "causal"):
        return None
    return f"{_SHORT.get(leaf.dtype) or _KINDS[leaf.kind]}[{dims}]{low}{high}{fill}"


def _constant(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | str):
        text = repr(value)
        return text if not isinstance(value, float) or value == value and abs(value) != float("inf") else None
    return None
