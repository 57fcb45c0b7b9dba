"""Leaves that are multiplied with entry by entry: gains, gates, scales of a branch, and what lies behind them."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from gradcheck_health.probe.graph.graph import Graph
from gradcheck_health.probe.graph.spans import bare_name, silent_edges

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
            name = bare_name(graph.nodes[i])
            if name in _VIEWS:
                left += above[i]
            else:
                ends.add(name)
        if ends == {_PRODUCT}:
            found.add(leaf)
    return found


def loudest(graph: Graph, sizes: Mapping[int, float]) -> list[float] | None:
    """By how much small factors, multiplied along a way, shrink the gradient of each node on its loudest way back.

    Args:
        sizes: id of a leaf tensor -> its root mean square.

    Returns:
        per node the product; 1 where some way comes without a small factor. None where there are no such factors.
    """
    small = {graph.leaves[leaf]: size for leaf, size in sizes.items() if 0.0 < size < SMALL and leaf in graph.leaves}
    factors = {}
    for i, nexts in enumerate(graph.edges) if small else ():
        if bare_name(graph.nodes[i]) == _PRODUCT and (
            factor := {j: small[end] for j in nexts if (end := _end(graph, j)) in small}
        ):
            factors[i] = factor
    if not factors:
        return None
    silent = silent_edges(graph)
    found = [1.0, *(0.0 for _ in graph.edges[1:])]
    for i, nexts in enumerate(graph.edges):
        factor = factors.get(i, {})
        for j in nexts:
            if found[i] and (i, j) not in silent:
                others = [size for k, size in factor.items() if k != j]
                # as little as that, and never nothing
                passes = max(found[i] * min(others, default=1.0), sys.float_info.min)
                found[j] = max(found[j], passes)
    return [value or 1.0 for value in found]


def shrunk(graph: Graph, passes: list[float] | None) -> dict[int, float]:
    """id of a leaf tensor -> its part of `loudest`, where that is below 1."""
    if passes is None:
        return {}
    return {leaf: passes[position] for leaf, position in graph.leaves.items() if passes[position] < 1.0}


def _end(graph: Graph, position: int) -> int:
    """What lies behind views."""
    while bare_name(graph.nodes[position]) in _VIEWS and len(graph.edges[position]) == 1:
        (position,) = graph.edges[position]
    return position
