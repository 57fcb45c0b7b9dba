"""A plan of arguments: shapes with named dimensions, dtypes and value ranges, but no tensors yet.

A plan is an immutable value, so the search can keep many of them, compare them and go back. A dimension is a number that
something fixed, or the name of a size that several arguments share: B batch, T sequence, H and W and D spatial, N nodes,
E edges, P points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Dim = int | str
Path = tuple[str | int, ...]
"""How to reach a leaf: name of the argument, then keys and positions."""

SIZES: dict[str, int] = {"B": 3, "T": 7, "H": 32, "W": 32, "D": 16, "L": 64, "N": 11, "E": 23, "P": 64, "A": 4000}
"""Sizes while searching: mostly odd and distinct, so that a size met inside the network tells which dimension it came from.
L is the length of a 1-d signal, A of a raw waveform."""
SPATIAL: dict[int, tuple[Dim, ...]] = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
"""Behind the channels, by the number of such axes."""
USUAL: dict[int, tuple[Dim, ...]] = {
    1: ("B",),
    2: ("B", "T"),
    3: ("B", "T", 8),
    4: ("B", 3, "H", "W"),
    5: ("B", 3, "D", "H", "W"),
}
"""What a tensor of this rank is likely to be: features of steps, images, volumes."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One tensor to make up."""

    dims: tuple[Dim, ...]
    kind: str = "float"
    """float, int, bool or complex. The width follows the model's parameters."""
    fill: str = "normal"
    """How values are drawn, one of `values.FILLS`."""
    low: int = 0
    high: Dim | None = None
    """Integers are drawn from [low, high); the name of a size where the range is that size (edges point at nodes)."""
    why: str = ""
    """Where the shape comes from: "fc1.in_features", "declared by img_size", "solved"."""
    fixed: bool = False
    """Given or declared by the user: shape and kind are never edited."""
    drawn: bool = False
    """A bound or a kind of values was given too: they are never edited either."""
    placeholder: tuple[int, int] | None = None
    """(token, count): ids where an image or a sound is to be put in, that many in every sample."""
    end: int | None = None
    """The id that every sample ends with."""
    among: tuple[int, ...] = ()
    """Integers are drawn from these, whatever the range."""
    dtype: str = ""
    """Exact dtype where it was given or declared, "float16"."""

    def rank(self) -> int:
        return len(self.dims)


@dataclass(frozen=True, slots=True)
class Const:
    """A value that is passed as it is: a flag, a number, None, a string, a tensor that was given."""

    value: Any
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A list, tuple, dict or attribute object of further nodes."""

    items: tuple[tuple[str | int, Node], ...]
    form: str = "list"
    """list, tuple, dict or object."""


Node = Leaf | Const | Group


@dataclass(frozen=True, slots=True)
class Plan:
    """All arguments of one call, and the sizes that their dimensions name."""

    arguments: tuple[tuple[str, Node], ...]
    """By the name of the parameter; "*0", "*1" are further positional arguments."""
    sizes: tuple[tuple[str, int], ...] = tuple(SIZES.items())

    def size(self, dim: Dim) -> int:
        return dim if isinstance(dim, int) else dict(self.sizes)[dim]

    def shape(self, leaf: Leaf) -> tuple[int, ...]:
        return tuple(self.size(dim) for dim in leaf.dims)

    def leaves(self) -> Iterator[tuple[Path, Leaf]]:
        for name, node in self.arguments:
            yield from _leaves((name,), node)

    def get(self, path: Path) -> Node | None:
        node: Node | None = dict(self.arguments).get(str(path[0]))
        for key in path[1:]:
            if not isinstance(node, Group):
                return None
            node = dict(node.items).get(key)
        return node

    def put(self, path: Path, node: Node) -> Plan:
        """The same plan with one node replaced or added."""
        known = dict(self.arguments)
        name = str(path[0])
        known[name] = _put(known.get(name), path[1:], node)
        return replace(self, arguments=tuple(known.items()))

    def drop(self, name: str) -> Plan:
        return replace(self, arguments=tuple((key, node) for key, node in self.arguments if key != name))

    def resize(self, **sizes: int) -> Plan:
        return replace(self, sizes=tuple({**dict(self.sizes), **sizes}.items()))

    def key(self) -> str:
        """Equal for plans that draw the same shapes and ranges, whatever is remembered about why."""
        return "; ".join(f"{name}={self._form(node)}" for name, node in sorted(self.arguments))

    def _form(self, node: Node) -> str:
        if isinstance(node, Leaf):
            high = "" if node.high is None else self.size(node.high)
            values = (node.fill, node.low, high, node.dtype, node.placeholder, node.end)
            return f"{node.kind}{self.shape(node)}{values}"
        if isinstance(node, Group):
            return f"{node.form}[" + ",".join(f"{key}:{self._form(item)}" for key, item in node.items) + "]"
        return repr(node.value)[:200]

    def describe(self) -> str:
        """`ids=i64[3, 7]<50, mask=bool[3, 7]`."""
        return " ".join(f"{name}={self._text(node)}" for name, node in self.arguments) or "no arguments"

    def _text(self, node: Node) -> str:
        if isinstance(node, Leaf):
            short = {"float": "f32", "int": "i64", "bool": "bool", "complex": "c64"}[node.kind]
            bound = f"<{self.size(node.high)}" if node.kind == "int" and node.high is not None else ""
            return f"{short}[{','.join(map(str, self.shape(node)))}]{bound}"
        if isinstance(node, Group):
            inside = ", ".join(f"{key}: {self._text(i)}" if node.form == "dict" else self._text(i) for key, i in node.items)
            return f"{{{inside}}}" if node.form == "dict" else f"[{inside}]" if node.form == "list" else f"({inside})"
        shape = getattr(node.value, "shape", None)
        return repr(node.value)[:40] if shape is None else f"{str(node.value.dtype).removeprefix('torch.')}{list(shape)}"


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed plan, how far-fetched it is, and what to tell about it; or a measure to solve for."""

    plan: Plan
    cost: float
    note: str
    measure: Any = None
    """Key of the measure that the solver is to bring about by changing sizes of `plan`."""


def _leaves(path: Path, node: Node) -> Iterator[tuple[Path, Leaf]]:
    if isinstance(node, Leaf):
        yield path, node
    elif isinstance(node, Group):
        for key, item in node.items:
            yield from _leaves((*path, key), item)


def _put(old: Node | None, path: Path, node: Node) -> Node:
    if not path:
        return node
    group = old if isinstance(old, Group) else Group((), "dict" if isinstance(path[0], str) else "list")
    items = dict(group.items)
    items[path[0]] = _put(items.get(path[0]), path[1:], node)
    return replace(group, items=tuple(items.items()))
