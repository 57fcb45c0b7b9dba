"""Leaves of the graph that are no parameters of the model: are they a fault, or gone with the pass?"""

from __future__ import annotations

import weakref
from collections.abc import Iterable

from torch import nn

from gradcheck_health.model.names import registered
from gradcheck_health.probe.graph.graph import Graph
from gradcheck_health.records.measurements import ParameterTrace


class Strangers:
    """Those of one pass.

    What nobody holds once the pass is over is made anew by every pass. That is a fault where it is an `nn.Parameter`, or made
    from parameters that have no gradient, and none otherwise.
    """

    def __init__(self, graph: Graph | None, model: nn.Module, parameters: Iterable[ParameterTrace]) -> None:
        known = registered(model) if graph is not None else set()
        positions = [] if graph is None else [position for leaf, position in graph.leaves.items() if leaf not in known]
        lost = bool(positions) and any(p.trainable and p.gradient is None for p in parameters)
        leaves = [graph.nodes[position].variable for position in positions] if graph is not None else []
        self._found = [(lost or isinstance(leaf, nn.Parameter), weakref.ref(leaf)) for leaf in leaves]

    def __bool__(self) -> bool:
        return bool(self._found)

    def count(self) -> int:
        """How many have to be looked at. Ask once the graph is let go of."""
        return sum(suspicious or leaf() is not None for suspicious, leaf in self._found)
