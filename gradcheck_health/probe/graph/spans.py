"""Which edges of the graph carry no gradient, since what is taken out of a concatenation lies in another part of it.

A class token is put in front of the patches, normalised with them and taken out again: nothing comes back to the patches so.
"""

from __future__ import annotations

from typing import Any

from gradcheck_health.probe.graph.graph import Graph
from gradcheck_health.probe.graph.nodes import saved

_Span = tuple[int, int, int]
"""(axis, start, stop): outside of it the gradient is zero."""
_NOTHING = (0, 0, 0)
_PLACED = ("Add", "Sub", "Mul", "Div", "Neg", "Clone", "Alias", "ToCopy", "NativeDropout", "Gelu", "Relu", "Silu", "Tanh")
"""Operations each of whose entries depends on that at the same place alone, where the shapes are the same."""


def silent_edges(graph: Graph) -> set[tuple[int, int]]:
    """(position, next position) of a concatenation along which no gradient passes, as far as that is known."""
    if not any(bare_name(node) == "Cat" for node in graph.nodes):
        return set()
    spans: list[_Span | None] = [_NOTHING] * len(graph.nodes)  # _NOTHING: no way reached it yet
    silent, carried = set(), set()
    for i, nexts in enumerate(graph.edges):
        passed = _passed(graph.nodes[i], spans[i], len(nexts)) if i else [None] * len(nexts)
        for j, span in zip(nexts, passed, strict=True):
            if span == _NOTHING:
                silent.add((i, j))
                continue
            carried.add((i, j))
            several = len(getattr(graph.nodes[j], "_input_metadata", ())) > 1  # its results may be other ones
            spans[j] = span if spans[j] in (_NOTHING, span) and not several else None
    return silent - carried


def bare_name(node: Any) -> str:
    """Of an operation; "" of the virtual root."""
    return "" if node is None else node.name().rstrip("0123456789").removesuffix("Backward")


def _passed(node: Any, span: _Span | None, edges: int) -> list[_Span | None]:
    """Per edge the part of the next node's result that gets a gradient; None for all of it, or where that is not known."""
    name, own = bare_name(node), _shape(node, 0)
    shapes = [_shape(below, number) for below, number in node.next_functions if below is not None]
    known = [shape for shape in shapes if shape is not None]
    if own is None or len(known) < len(shapes):
        return [None] * edges
    if name in ("Select", "Slice"):
        return [_taken(node, name, *known)]
    if span in (None, _NOTHING):
        return [None] * edges
    axis, start, stop = span
    if name == "Cat":
        return _parts(_signed(saved(node, "dim")) % len(own), span, known)
    if name == "NativeLayerNorm":  # of its entries those along the normalised axes depend on one another
        return [span if shape == own and axis < len(own) - len(saved(node, "normalized_shape")) else None for shape in known]
    return [span if shape == own and name in _PLACED else None for shape in known]


def _taken(node: Any, name: str, shape: tuple[int, ...]) -> _Span | None:
    axis = _signed(saved(node, "dim")) % len(shape)
    if name == "Select":
        at = _signed(saved(node, "index")) % shape[axis]
        return axis, at, at + 1
    start, stop, _ = slice(_signed(saved(node, "start")), _signed(saved(node, "end"))).indices(shape[axis])
    return (axis, start, stop) if stop > start else None


def _parts(axis: int, span: _Span, shapes: list[tuple[int, ...]]) -> list[_Span | None]:
    """Of each tensor that was put in a row along an axis the part that lies in the span."""
    if span[0] != axis:
        return [span] * len(shapes)
    found: list[_Span | None] = []
    begin = 0
    for shape in shapes:
        start, stop = max(span[1] - begin, 0), min(span[2] - begin, shape[axis])
        found.append((axis, start, stop) if start < stop else _NOTHING)
        begin += shape[axis]
    return found


def _shape(node: Any, number: int) -> tuple[int, ...] | None:
    """Of the result that a node made; None where torch does not tell."""
    results = getattr(node, "_input_metadata", ())
    return tuple(results[number].shape) if number < len(results) else None


def _signed(value: int) -> int:
    """Autograd shows a negative number as one of 64 bits without a sign."""
    return (value + 2**63) % 2**64 - 2**63
