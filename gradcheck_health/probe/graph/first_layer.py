"""Where the gradient has its longest way: the first layer, and which of its calls count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.probe.graph.nodes import saved
from gradcheck_health.probe.graph.streams import ancestors, joints

if TYPE_CHECKING:
    from gradcheck_health.probe.graph.graph import Graph

_SHARED = 64
"""Leaves, the deepest first, of which it is found out whether they are taken several times side by side."""
_CALLS = 4
"""So many calls of a shared first layer are followed, at most, evenly chosen."""
OFTEN = 5
"""Calls of a weight from which on it is taken for one of a loop."""


def first_layer(graph: Graph) -> list[int]:
    """The deepest leaf, or the calls of it that lie side by side where it is taken several times.

    Of a leaf that takes its own result again (a recurrence) or hangs below the head too (a tied embedding) the call nearest
    to the output counts: the gradient comes that way, and the others would leave out the network between. But where a loop
    takes nothing but its own result, its calls are layers with one weight, and the first of them is the deepest.
    """
    depth = [0] * len(graph.nodes)
    for i, nexts in enumerate(graph.edges):
        for j in nexts:
            depth[j] = max(depth[j], depth[i] + 1)
    taken = takers(graph)
    once = [leaf for key, leaf in graph.leaves.items() if len(taken[key]) == 1]
    found = [max(once, key=lambda leaf: (depth[leaf], leaf))] if once else []
    deepest = depth[found[0]] if found else 0
    steps = _steps_above(graph, taken)
    loops: list[tuple[int, int, int, bool]] = []
    for key, leaf in sorted(graph.leaves.items(), key=lambda item: (-depth[item[1]], -item[1]))[:_SHARED]:
        if depth[leaf] <= deepest:
            break
        calls = _last_steps(_side_by_side(graph, taken[key]), steps) if len(taken[key]) > 1 else []
        if len(calls) == 1 and len(taken[key]) >= OFTEN and _of_closed_loop(graph, taken[key], loops):
            calls = [max(taken[key])]
        if calls and max(depth[call] for call in calls) + 1 > deepest:
            deepest = max(depth[call] for call in calls) + 1
            found = [call for call in calls if 2 * depth[call] >= deepest] or calls
    if not found:
        return [max(graph.leaves.values(), key=lambda leaf: (depth[leaf], leaf))]
    return found[:: -(-len(found) // _CALLS)]


def _side_by_side(graph: Graph, calls: Sequence[int]) -> list[int]:
    """Those of the calls that lie below no other one."""
    below = [False] * len(graph.nodes)
    own = set(calls)
    for i in range(min(calls), max(calls) + 1):
        if below[i] or i in own:
            for j in graph.edges[i]:
                below[j] = True
    return sorted(call for call in own if not below[call])


def _of_closed_loop(graph: Graph, calls: Sequence[int], loops: list[tuple[int, int, int, bool]]) -> bool:
    """Whether they are turns of a closed loop; each loop is searched once, for one of its weights.

    Args:
        loops: (turns, top, bottom, closed) of what was searched before, added to. Weights that are taken as often between the
            same nodes are those of one loop.
    """
    turns, top, bottom = len(calls), min(calls), max(calls)
    for many, first, last, closed in loops:
        if many == turns and first <= bottom and top <= last:
            return closed
    loops.append((turns, top, bottom, _closed(graph, calls)))
    return loops[-1][-1]


def _closed(graph: Graph, calls: Sequence[int]) -> bool:
    """Each of these many calls takes what the one before it made, and no data beside: no step of a sequence, no input again."""
    top, bottom = min(calls), max(calls)
    relevant = ancestors(graph, bottom)
    between = [i for i in relevant if top <= i < bottom]
    return (
        relevant.issuperset(calls)
        and not any(i >= top for i in joints(graph, relevant))
        and not any(graph.constant[i] and not _scales(graph, i) for i in between)
    )


def _scales(graph: Graph, position: int) -> bool:
    """It multiplies with a number, or with a matrix that needs no gradient: what mixes nodes or steps, the same each time."""
    node = graph.nodes[position]
    if node.name().startswith(("Mm", "Bmm", "Div")):
        return True
    other = saved(node, "other") if node.name().startswith("Mul") else None
    return other is not None and other.numel() == 1


def _last_steps(calls: list[int], steps: Sequence[int]) -> list[int]:
    """Without the calls in earlier steps of a recurrence.

    The weights on the input of a recurrent cell are taken at every step, and no such call lies below another: what leads from
    one step to the next are the weights on the state.
    """
    fewest = min((steps[call] for call in calls), default=0)
    return [call for call in calls if steps[call] == fewest]


def _steps_above(graph: Graph, taken: Mapping[int, list[int]]) -> list[int]:
    """How often, at most, a way from the roots to each node has passed one and the same weight before."""
    most = [0] * len(graph.nodes)
    shared = sorted((some for some in taken.values() if len(some) > 1), key=len, reverse=True)[:_CALLS]
    for some in shared:
        if len(_side_by_side(graph, some)) == len(some):
            continue
        own, above = set(some), [0] * len(graph.nodes)
        for i, nexts in enumerate(graph.edges):
            count = above[i] + (i in own)
            for j in nexts:
                above[j] = max(above[j], count)
        most = [max(pair) for pair in zip(most, above, strict=True)]
    return most


def takers(graph: Graph) -> dict[int, list[int]]:
    """id of a leaf tensor -> the operations that take it; of one that is only prepared (transposed) before, those behind."""
    above: list[list[int]] = [[] for _ in graph.nodes]
    for i, nexts in enumerate(graph.edges):
        for j in nexts:
            above[j].append(i)
    found = {}
    for leaf, position in graph.leaves.items():
        for _ in range(4):
            over = above[position]
            if len(over) != 1 or len(graph.edges[over[0]]) != 1:
                break
            position = over[0]
        # a transpose of its own in front of every use
        found[leaf] = [next(iter(above[i]), i) if len(graph.edges[i]) == 1 else i for i in above[position]]
    return found
