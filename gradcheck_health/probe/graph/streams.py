"""What leads to a place of the autograd graph, and where other streams of data join on the way."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradcheck_health.probe.graph.graph import Graph


def ancestors(graph: Graph, target: int) -> set[int]:
    """Positions from which `target` can be reached, itself included."""
    reaching = {target}
    for i in range(target - 1, -1, -1):
        if any(j in reaching for j in graph.edges[i]):
            reaching.add(i)
    return reaching


def joints(graph: Graph, relevant: Collection[int]) -> list[int]:
    """Those of the positions `relevant` that also take a stream of data that comes by none of them, in order."""
    carries = [False] * len(graph.nodes)
    for i in range(len(graph.nodes) - 1, 0, -1):
        if i not in relevant:
            fed = graph.constant[i] or any(carries[j] for j in graph.edges[i])
            carries[i] = fed or graph.nodes[i].name().startswith("Embedding")
    return sorted(i for i in relevant if any(carries[j] for j in graph.edges[i]))
