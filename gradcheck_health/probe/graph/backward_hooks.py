"""Hooks on every node of the autograd graph, for a second, slower pass: where NaN begins and where a gradient becomes zero.

Every node notes whether a gradient other than zero arrived, and which of its inputs it handed one on to. The gradient of a
parameter is lost at the node nearest to the output that got one and handed on zeros, or where nonzero ones meet and cancel.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_health.probe.forward.dataflow import Dataflow
from gradcheck_health.probe.forward.instrument import Instrument
from gradcheck_health.probe.graph.graph import Graph
from gradcheck_health.probe.graph.nodes import Node, saved
from gradcheck_health.probe.statistics.tensor_stats import nonfinite_kind
from gradcheck_health.records.evidence import Nonfinite, Zeroed

_RECTIFIERS = ("Relu", "Threshold", "Hardtanh", "Clamp", "Hardswish", "Hardsigmoid", "Softshrink", "Hardshrink", "Maximum")
_SQUASHERS = ("Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Erf", "Exp")
_PRODUCTS = ("Mm", "Addmm", "Bmm", "Baddbmm", "Convolution", "Linear", "Mv", "Dot")


@dataclass(slots=True)
class _Passed:
    """What went through a node."""

    arrived: bool
    """A gradient other than zero."""
    handed: tuple[bool | None, ...]
    """Per input: one other than zero was handed on; None: none at all."""
    how: str = "stopped"


class BackwardHooks:
    """Hooks on every node of a graph; they die with it."""

    def __init__(self, graph: Graph, instrument: Instrument, dataflow: Dataflow) -> None:
        self._graph, self._instrument, self._dataflow = graph, instrument, dataflow
        self._passed: dict[int, _Passed] = {}
        wanted = [graph.leaf(tensor) for tensor in dataflow.followed.values()]
        self._zeros = any(leaf is not None for leaf in wanted)
        if not self._zeros and not dataflow.look_for_nonfinite:
            return
        for position, node in enumerate(graph.nodes):
            if node is not None and not hasattr(node, "variable"):
                node.register_hook(self._hook(position, node))

    def _hook(self, position: int, node: Node) -> Any:
        def note(made: tuple[Any, ...], given: tuple[Any, ...]) -> None:
            if self._dataflow.look_for_nonfinite:
                self._nonfinite(node, position, made, given)
            if self._zeros:
                handed = tuple(None if gradient is None else _nonzero(gradient) for gradient in made)
                arrived = any(gradient is not None and _nonzero(gradient) for gradient in given)
                lost = arrived and any(one is False for one in handed)
                self._passed[position] = _Passed(arrived, handed, _how(node, handed) if lost else "")

        return note

    def _nonfinite(self, node: Node, position: int, made: tuple[Any, ...], given: tuple[Any, ...]) -> None:
        found = self._dataflow.nonfinite
        if any(one.phase == "backward" for one in found):
            return
        kinds = [kind for gradient in made if (kind := nonfinite_kind(gradient))]
        if kinds and not any(nonfinite_kind(gradient) for gradient in given):
            found.append(Nonfinite("backward", *self._spot(position), kinds[0]))

    def _spot(self, position: int) -> tuple[str, str, str | None]:
        """Operation, layer, `file:line` of a node."""
        node = self._graph.nodes[position]
        name = node.name().removesuffix("Backward0")
        layer, op = self._instrument.operations.get(node, (self._instrument.homes.get(node, ""), name))
        return op, layer, self._dataflow.sources.get(node)

    def zeroed(self, followed: Mapping[str, torch.Tensor]) -> tuple[Zeroed, ...]:
        """Where the gradient of each of the parameters is lost, those of one place together."""
        above: dict[int, list[tuple[int, int]]] = defaultdict(list)
        places = {node: position for position, node in enumerate(self._graph.nodes) if node is not None}
        for position, node in enumerate(self._graph.nodes):
            for k, (following, _) in enumerate(() if node is None else node.next_functions):
                if following is not None:
                    above[places[following]].append((position, k))
        groups: dict[tuple[int, str], list[str]] = {}
        for name, tensor in followed.items():
            leaf = self._graph.leaf(tensor)
            where = None if leaf is None else self._lost(leaf, above)
            if where is not None:
                groups.setdefault(where, []).append(name)
        found = []
        for (position, how), names in sorted(groups.items()):
            op, layer, source = self._spot(position)
            if how == "cancels" and hasattr(self._graph.nodes[position], "variable"):
                op, layer = "sum of its uses", names[0].rpartition(".")[0]
            found.append(Zeroed(op, layer or self._below(position), source, how, tuple(names)))
        return tuple(found)

    def _lost(self, leaf: int, above: Mapping[int, list[tuple[int, int]]]) -> tuple[int, str] | None:
        """(position, how) nearest to the output."""
        found: list[tuple[int, str]] = []
        stack, seen = [leaf], {leaf}
        while stack:
            position = stack.pop()
            for upper, k in above[position]:
                passed = self._passed.get(upper)
                if passed is None or k >= len(passed.handed) or passed.handed[k] is None:
                    continue
                if passed.handed[k]:
                    found.append((position, "cancels"))
                elif passed.arrived:
                    weight = passed.how == "product" and self._leads_to(leaf, position)
                    found.append((upper, {"product": "input" if weight else "weights"}.get(passed.how, passed.how)))
                elif upper not in seen:
                    seen.add(upper)
                    stack.append(upper)
        return min(found, default=None)

    def _leads_to(self, leaf: int, position: int) -> bool:
        """The parameter itself, with at most a transpose, a view or a cast between."""
        for _ in range(4):
            if position == leaf or len(self._graph.edges[position]) != 1:
                break
            (position,) = self._graph.edges[position]
        return position == leaf

    def _below(self, position: int) -> str:
        """The layer of the nearest known operation towards the parameters, for a node inside a fused operation."""
        queue, seen = [position], {position}
        while queue:
            current = queue.pop(0)
            node = self._graph.nodes[current]
            if node in self._instrument.operations:
                return self._instrument.operations[node][0]
            if node in self._instrument.homes:
                return self._instrument.homes[node]
            fresh = [i for i in self._graph.edges[current] if i not in seen]
            seen.update(fresh)
            queue += fresh
        return ""


def _nonzero(gradient: torch.Tensor) -> bool:
    if gradient.layout != torch.strided:
        gradient = gradient.coalesce().values() if gradient.layout == torch.sparse_coo else gradient.values()
    return bool(gradient.any())


def _how(node: Node, handed: tuple[bool | None, ...]) -> str:
    """Why a node hands on zeros though it got something else."""
    name = node.name().removesuffix("Backward0").removesuffix("Backward1")
    with contextlib.suppress(RuntimeError, AttributeError):  # saved tensors may be gone, or called otherwise
        if name == "Mul" and _all_zero(node._saved_other if handed[0] is False else node._saved_self):
            return "factor"
        if name == "NativeLayerNorm" and math.prod(node._saved_normalized_shape) == 1:
            return "single"
        if name == "NativeGroupNorm" and node._saved_C * node._saved_HxW == node._saved_group:
            return "single"
        if name in ("Softmax", "LogSoftmax") and softmax_entries(node) == 1:
            return "single"
    for names, how in ((_RECTIFIERS, "off"), (_SQUASHERS, "flat"), (_PRODUCTS, "product")):
        if name.startswith(names):
            return how
    return "stopped"


def _all_zero(tensor: torch.Tensor | None) -> bool:
    return tensor is not None and not bool(tensor.any())


def softmax_entries(node: Node) -> int:
    """Entries of a row; 0 where they are not known."""
    axis, result = node._saved_dim, saved(node, "result")
    if result is None:
        return 0
    return int(result.shape[axis if axis < result.dim() else axis - 2**64])
