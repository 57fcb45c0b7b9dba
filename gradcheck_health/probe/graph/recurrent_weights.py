"""Which weight of a recurrence written as a loop is the one that takes the state, and on which line."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_health.model.names import NamedParameter
from gradcheck_health.probe.forward.instrument import Instrument
from gradcheck_health.probe.graph.first_layer import OFTEN, takers
from gradcheck_health.probe.graph.graph import Graph
from gradcheck_health.records.evidence import Recurring

_CAP = 20_000
"""Nodes that are visited for all weights together."""


def recurring(graph: Graph, instrument: Instrument, named: Sequence[NamedParameter]) -> tuple[Recurring, ...]:
    """Weights that are used again and again, and one of whose uses reads the result of another; the most used first."""
    if instrument.dataflow is None:
        return ()
    uses = takers(graph)
    found = []
    for entry in named:
        above = uses.get(id(entry.tensor), [])
        if len(above) < OFTEN or entry.role == "bias":
            continue
        last = min(above)
        if _reaches(graph, last, set(above) - {last}):
            node = graph.nodes[last]
            layer = instrument.operations.get(node, (instrument.homes.get(node, entry.layer), ""))[0]
            found.append((len(above), Recurring(entry.name, layer, instrument.dataflow.sources.get(node))))
    return tuple(one for _, one in sorted(found, key=lambda pair: -pair[0]))


def _reaches(graph: Graph, start: int, others: set[int]) -> bool:
    stack, seen = list(graph.edges[start]), set(graph.edges[start])
    while stack and len(seen) < _CAP:
        position = stack.pop()
        if position in others:
            return True
        fresh = [below for below in graph.edges[position] if below not in seen]
        seen.update(fresh)
        stack += fresh
    return False
