"""Which leaves forward does nothing with but multiply by them, entry by entry: gains, gates, scales of a branch."""

from __future__ import annotations

from gradcheck_health.probe.graph.graph import Graph

_VIEWS = ("View", "UnsafeView", "Unsqueeze", "Squeeze", "Expand", "Permute", "Transpose", "T", "Alias", "Select", "Slice")
_PRODUCT = "Mul"


def factors(graph: Graph) -> set[int]:
    """id of every leaf tensor whose only use is an entrywise product, however it is laid out for it."""
    above: list[list[int]] = [[] for _ in graph.nodes]
    for i, nexts in enumerate(graph.edges):
        for j in nexts:
            above[j].append(i)
    found = set()
    for leaf, position in graph.leaves.items():
        ends, left = set(), list(above[position])
        while left:
            i = left.pop()
            name = _bare(graph, i)
            if name in _VIEWS:
                left += above[i]
            else:
                ends.add(name)
        if ends == {_PRODUCT}:
            found.add(leaf)
    return found


def _bare(graph: Graph, position: int) -> str:
    node = graph.nodes[position]
    return "" if node is None else node.name().rstrip("0123456789").removesuffix("Backward")
