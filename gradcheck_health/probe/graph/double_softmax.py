"""Probabilities that are taken for logits: what the autograd graph says above the last layer that mixes features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gradcheck_health.probe.graph.graph import Graph
from gradcheck_health.probe.graph.nodes import saved
from gradcheck_health.records.evidence import DoubleSoftmax

_MIXES = (
    "Addmm", "Mm", "Bmm", "Baddbmm", "Mv", "Convolution", "Embedding", "Scaled", "Lstm", "Gru",
    "NativeLayerNorm", "NativeBatchNorm", "CudnnBatchNorm", "NativeGroupNorm",
)  # fmt: skip
"""Below these a softmax is no head: attention, gates, routing."""
_MOVES = {
    "View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "T", "Permute", "Select", "Index", "Stack", "Mean",
}  # fmt: skip
"""After these an axis may have another number."""
_KEEPS = {
    *_MOVES, "Clone", "ToCopy", "Slice", "IndexSelect", "Expand", "Alias", "Clamp", "ClampMin", "ClampMax", "Add", "Sub",
    "Rsub", "Split", "Unbind", "Cat", "AsStrided", "Narrow",
}  # fmt: skip
"""Probabilities go in, and probabilities come out."""
_NAMES = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "LogSigmoid": "logsigmoid",
    "Logsumexp": "logsumexp",
    "BinaryCrossEntropyWithLogits": "binary_cross_entropy_with_logits",
}
_WEIGHTS = ("Softmax", "Sigmoid")
"""Multiplied with values that have a gradient of their own, these weigh them: a gate, or attention over a few."""
_DEPTH = 12


def double_softmaxes(
    graph: Graph, operations: Mapping[Any, tuple[str, str]], sources: Mapping[Any, str]
) -> tuple[DoubleSoftmax, ...]:
    """Where a softmax or a sigmoid feeds another, with nothing between that would make logits of its probabilities."""
    found: dict[tuple[Any, Any], DoubleSoftmax] = {}
    for position, weighs in _head(graph).items():
        second = graph.nodes[position]
        if _kind(second) not in _NAMES or weighs and _kind(second) in _WEIGHTS:
            continue
        for first in _probabilities(_below(second), frozenset(), _DEPTH):
            if _same_axis(first, second):
                layer = operations.get(first[0], ("", ""))[0]
                outer = operations.get(second, ("", ""))[0]
                found[first[0], second] = DoubleSoftmax(
                    _NAMES[_kind(first[0])], _NAMES[_kind(second)], layer, outer, sources.get(first[0]), sources.get(second)
                )
    return tuple(found.values())


def _kind(node: Any) -> str:
    name: str = node.name() if node is not None else ""
    return name.rpartition("Backward")[0]  # LogSoftmaxBackwardDataBackward0 is the derivative of a derivative


def _head(graph: Graph) -> dict[int, bool]:
    """Positions above the last layers that mix features, in topological order: whether all that is done with it is to weigh."""
    reached = {0: False}
    for position in range(len(graph.nodes)):
        kind = _kind(graph.nodes[position])
        if position not in reached or kind.startswith(_MIXES):
            continue
        below = graph.edges[position]
        weighs = kind == "Mul" and len(set(below)) > 1 or kind in _KEEPS and reached[position]
        for following in below:
            reached[following] = reached.get(following, True) and weighs
    return {position: reached[position] for position in sorted(reached) if position}


def _below(node: Any) -> list[Any]:
    return [following for following, _ in node.next_functions if following is not None]


def _probabilities(nodes: list[Any], passed: frozenset[str], depth: int) -> list[tuple[Any, frozenset[str]]]:
    """The softmaxes that all of `nodes` are the results of, each with the kinds of operations since; empty if one is not."""
    found = []
    for node in nodes:
        kind = _kind(node)
        if kind in ("Softmax", "Sigmoid", "LogSoftmax"):
            found.append((node, passed))
        elif (kind in _KEEPS or _shrinks(node, kind)) and depth:
            inner = _probabilities(_below(node), passed | {kind}, depth - 1)
            if not inner:
                return []
            found += inner
        else:
            return []
    return found


def _shrinks(node: Any, kind: str) -> bool:
    """Divided by a temperature of one or more, probabilities stay within 0 and 1; a large factor makes logits of them."""
    other = saved(node, "other") if kind in ("Div", "Mul") else None
    if not isinstance(other, torch.Tensor) or other.numel() != 1 or other.is_meta:
        return False
    factor = abs(float(other.detach()))
    return factor >= 1.0 if kind == "Div" else 0.0 < factor <= 1.0


def _same_axis(first: tuple[Any, frozenset[str]], second: Any) -> bool:
    """They normalise over the same classes. An elementwise function has no axis, and takes any."""
    (a, size_a), (b, size_b) = _axis(first[0]), _axis(second)
    if size_a is None or size_b is None:
        return _kind(second) != "Logsumexp"
    return size_a == size_b and size_a > 1 and (a == b or bool(first[1] & _MOVES))


def _axis(node: Any) -> tuple[int, int | None]:
    """(axis, its size) of a normalisation, counted from the front; the size is None where the function has no axis."""
    kind = _kind(node)
    if kind == "Logsumexp":
        values, dims = saved(node, "self"), node._saved_dim
        dim = dims[0] if len(dims) == 1 else 0
    elif kind in ("Softmax", "LogSoftmax"):
        values, dim = saved(node, "result"), node._saved_dim
    else:
        return 0, None
    if values is None:
        return 0, None
    shape = values.shape
    dim = dim - 2**64 if dim >= 2**63 else dim
    return dim % max(len(shape), 1), shape[dim] if shape else 1
