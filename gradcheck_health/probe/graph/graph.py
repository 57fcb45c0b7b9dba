"""What the autograd graph says: which nodes every gradient path to the first layer crosses.

A cut point is a node that lies on every path from the outputs to the deepest leaf. The gain between two neighbouring cut points
is a statement about the health of what lies between; inside a branch it is none.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain as chained
from typing import Any

import torch

from gradcheck_health.probe.graph.first_layer import first_layer, takers
from gradcheck_health.probe.graph.nodes import Node
from gradcheck_health.probe.graph.streams import ancestors, joints

NODE_CAP = 10_000
"""Python wrappers of very deep graphs overflow the C stack when they are freed (seen at 50 000 nodes, not at 30 000)."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph above some roots, every node after the nodes that its gradient comes from."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, ...], ...]
    """Per node the positions of the nodes that it hands gradients to, all larger than its own."""
    constant: tuple[bool, ...]
    """Per node: it consumed a tensor that needs no gradient (data, most of the time)."""
    leaves: dict[int, int]
    """id of a leaf tensor, or of the parameter that it stands for -> position of its AccumulateGrad node."""
    stand_ins: Mapping[int, torch.Tensor] = field(default_factory=dict)

    def variables(self) -> list[Any]:
        """The leaf tensors, in the order of their nodes."""
        return [self.nodes[position].variable for position in sorted(self.leaves.values())]

    def with_leaves_of(self, stand_ins: Mapping[int, torch.Tensor]) -> Graph:
        """The same, with leaves under the parameters for which they stand (id of the leaf -> parameter)."""
        known = {id(stand_ins[key]) if key in stand_ins else key: position for key, position in self.leaves.items()}
        return dataclasses.replace(self, leaves=known, stand_ins=stand_ins) if stand_ins else self

    def leaf(self, tensor: torch.Tensor) -> int | None:
        """The position of a leaf, also of one that stands for a parameter."""
        return self.leaves.get(id(self.stand_ins.get(id(tensor), tensor)))


def walk(roots: Sequence[Node], cap: int = NODE_CAP) -> Graph | None:
    """The graph in topological order; position 0 is a virtual root above all `roots`. None if it has more than `cap` nodes."""
    following: dict[Node, tuple[Node, ...]] = {}
    constant: dict[Node, bool] = {}
    order: list[Node] = []
    state: dict[Node, int] = {}
    for root in reversed(roots):
        stack = [root]
        while stack:
            node = stack[-1]
            if node not in state:
                if len(state) >= cap:
                    return None
                state[node] = 0
                pairs = node.next_functions
                following[node] = nexts = tuple(nxt for nxt, _ in pairs if nxt is not None)
                constant[node] = len(nexts) < len(pairs)
                stack.extend(nxt for nxt in nexts if nxt not in state)
            else:
                stack.pop()
                if state[node] == 0:
                    state[node] = 1
                    order.append(node)
    order.reverse()
    position = {node: i + 1 for i, node in enumerate(order)}
    edges = (tuple(position[root] for root in roots), *(tuple(position[nxt] for nxt in following[node]) for node in order))
    found = {id(node.variable): i for node, i in position.items() if hasattr(node, "variable")}
    return Graph((None, *order), edges, (False, *(constant[node] for node in order)), found)


def cut_points(graph: Graph, *, below_loss: bool = False, adapters: bool = False) -> list[list[int]]:
    """Per path to the first layer the positions of the nodes that it cannot avoid, that layer's own first.

    There is one path, unless the first layer is called several times side by side (two views, a triplet): then each call is
    followed by itself. The leaf's own tail (what only prepares the parameter: transposes, weight norm) is left out.

    Args:
        below_loss: the root is a loss: leave out what lies above the last layer that has parameters, because a factor in
            the loss says nothing about the model.
        adapters: most weights are frozen: leave out what lies below the last place where the frozen stream is added, because
            what one branch of it passes says nothing about the model.
    """
    if not graph.leaves:
        return []
    chains = [_chain(graph, target, below_loss) for target in first_layer(graph)]
    return [_above_frozen(graph, chain) for chain in chains] if adapters else chains


def _above_frozen(graph: Graph, chain: list[int]) -> list[int]:
    joints = [k for k, i in enumerate(chain) if graph.constant[i] and graph.nodes[i].name().startswith("Add")]
    joints = [k for k in joints if not graph.nodes[chain[k]].name().startswith("Addmm")]
    return chain[joints[-1] :] if joints else chain


def _chain(graph: Graph, target: int, below_loss: bool) -> list[int]:
    """What every path from the roots to `target` crosses, from there upwards."""
    relevant = ancestors(graph, target)
    points, reach = [], 0
    # In topological order a node is on every path exactly if no edge jumps over it. `reach` is the furthest end of all
    # edges seen so far: with edges 0-1, 0-3, 1-2, 2-3 it is 3 after node 0, so nodes 1 and 2 are jumped over, and 3 (reach
    # <= 3) is a cut point.
    for i in sorted(relevant):
        if reach <= i:
            points.append(i)
        reach = max(reach, *(j for j in graph.edges[i] if j in relevant), 0) if i != target else reach
    below = _leaf_counts(graph, points[1:])
    chain = [i for i in reversed(points[1:]) if not hasattr(graph.nodes[i], "variable")]
    while below_loss and chain and not _takes_parameter(graph, chain[-1]):
        chain.pop()
    for k, i in enumerate(chain):
        if graph.constant[i] or below[i] > 1:
            return chain[k:]
    return []


def merges(graph: Graph, chain: list[int]) -> set[int]:
    """Those of the cut points `chain` behind which, before the next one, a second stream of data joins.

    A decoder attends to an encoder: what the encoder gets is what one branch passes, while the stream goes on elsewhere.
    """
    if not chain:
        return set()
    joined = joints(graph, ancestors(graph, chain[0]))
    found = set()
    for below, above in zip(chain, chain[1:], strict=False):
        if any(above <= i < below for i in joined):
            found.add(above)
    return found


def _takes_parameter(graph: Graph, position: int) -> bool:
    """A leaf hangs directly below, with at most a transpose, a view or a cast between."""
    leaves = set(graph.leaves.values())
    for below in graph.edges[position]:
        for _ in range(4):
            if below in leaves:
                return True
            if len(graph.edges[below]) != 1:
                break
            (below,) = graph.edges[below]
    return False


def _leaf_counts(graph: Graph, points: list[int]) -> dict[int, int]:
    """How many leaves lie below each cut point (counted up to two, which is all that matters)."""
    leaves = set(graph.leaves.values())
    some: list[frozenset[int]] = [frozenset()] * len(graph.nodes)
    for i in range(len(graph.nodes) - 1, -1, -1):
        below = {i} if i in leaves else set()
        for j in graph.edges[i]:
            if len(below) > 1:
                break
            below |= some[j]
        some[i] = frozenset(list(below)[:2])
    return {i: len(some[i]) for i in points}


def uses(graph: Graph) -> dict[int, int]:
    """id of a leaf tensor -> how many operations take it."""
    return {leaf: len(positions) for leaf, positions in takers(graph).items()}


def taken(graph: Graph, known: Container[Node]) -> set[int]:
    """How many operations take the result of an operation, for all that are `known`: a sequence is taken once a step."""
    counts = Counter(chained.from_iterable(graph.edges))
    return {count for position, count in counts.items() if graph.nodes[position] in known}
