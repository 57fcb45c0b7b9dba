"""Leaves that are multiplied with entry by entry: gains, gates, scales of a branch, and what lies behind them."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from gradcheck_health.probe.graph.graph import Graph

_VIEWS = ("View", "UnsafeView", "Unsqueeze", "Squeeze", "Expand", "Permute", "Transpose", "T", "Alias", "Select", "Slice")
_PRODUCT = "Mul"
SMALL = 0.1
"""Size (rms) of a factor that shrinks what comes back through it."""


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


def shrunk(graph: Graph, sizes: Mapping[int, float]) -> dict[int, float]:
    """By how much small factors, multiplied along a way, shrink the gradient of each leaf on its loudest way back.

    Args:
        sizes: id of a leaf tensor -> its root mean square.

    Returns:
        id of a leaf tensor -> the product, below 1; of a leaf that some way reaches without a small factor nothing.
    """
    small = {graph.leaves[leaf]: size for leaf, size in sizes.items() if 0.0 < size < SMALL and leaf in graph.leaves}
    if not small:
        return {}
    loudest = [1.0, *(0.0 for _ in graph.edges[1:])]
    for i, nexts in enumerate(graph.edges):
        factor = {j: small[end] for j in nexts if (end := _end(graph, j)) in small} if _bare(graph, i) == _PRODUCT else {}
        for j in nexts:
            others = [size for k, size in factor.items() if k != j]
            passes = max(loudest[i] * min(others, default=1.0), sys.float_info.min)  # as little as that, and never nothing
            loudest[j] = max(loudest[j], passes)
    return {leaf: loudest[position] for leaf, position in graph.leaves.items() if loudest[position] < 1.0}


def _end(graph: Graph, position: int) -> int:
    """What lies behind views."""
    while _bare(graph, position) in _VIEWS and len(graph.edges[position]) == 1:
        (position,) = graph.edges[position]
    return position


def _bare(graph: Graph, position: int) -> str:
    node = graph.nodes[position]
    return "" if node is None else node.name().rstrip("0123456789").removesuffix("Backward")
