"""The cut points of the autograd graph and the gradients that cross them: the flow of a trace."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from gradcheck_health.model.distributed.kinds import is_communication
from gradcheck_health.probe.forward.instrument import Instrument
from gradcheck_health.probe.graph import graph as graphs
from gradcheck_health.probe.graph.backward_hooks import BackwardHooks, softmax_entries
from gradcheck_health.probe.graph.double_softmax import double_softmaxes
from gradcheck_health.probe.objective import Objective
from gradcheck_health.probe.statistics.tensor_stats import Gather
from gradcheck_health.records.evidence import DoubleSoftmax
from gradcheck_health.records.flow_ratio import flow_ratio
from gradcheck_health.records.measurements import CutPoint, TensorStats

_ACTIVATION_NODES = frozenset({"ReluBackward0", "SigmoidBackward0", "TanhBackward0", "HardtanhBackward0", "HardswishBackward0"})

_SEVERAL = 3
"""Weights from which on a flow is expected."""
_NO_COMMON_TENSOR = "no tensor lies on every path between the first layer and the output"
NO_STAND_INS: Mapping[int, torch.Tensor] = MappingProxyType({})
_Crossing = tuple[CutPoint, int, list[int], int | None]
"""A cut point, its position, where the gradients that cross it will be found, and where its output was measured."""


class Flow:
    """The cut points of the graph and the gradients that cross them."""

    def __init__(
        self,
        goal: Objective,
        instrument: Instrument,
        gather: Gather,
        *,
        adapters: bool = False,
        stand_ins: Mapping[int, torch.Tensor] = NO_STAND_INS,
    ) -> None:
        """What a backward pass is about to show.

        Args:
            adapters: most of the model's weights are frozen.
            stand_ins: id of a leaf that stands for a parameter while forward runs -> the parameter.
        """
        self.by = "cut points"
        self.gaps: list[str] = []
        self.double_softmaxes: tuple[DoubleSoftmax, ...] = ()
        self.uses: dict[int, int] = {}
        self.taken: set[int] = set()
        self.backward_hooks: BackwardHooks | None = None
        self.custom: tuple[str, ...] = ()
        self._instrument, self._gather = instrument, gather
        self._paths: list[list[_Crossing]] = []
        self._observed: dict[Any, tuple[list[int], int | None]] = {}
        roots = [root.grad_fn for root in goal.roots if root.grad_fn is not None]
        graph = graphs.walk(roots) if roots else None
        self.graph = graph = graph if graph is None else graph.with_leaves_of(stand_ins)
        if graph is None:
            if roots:
                self.by = "module outputs"
                self.gaps.append(
                    f"the autograd graph: more than {graphs.NODE_CAP} nodes, so the flow is read off module outputs"
                )
            return
        self._audit(graph)
        sources = {} if instrument.dataflow is None else instrument.dataflow.sources
        self.double_softmaxes = double_softmaxes(graph, instrument.operations, sources)
        self.uses, self.taken = graphs.uses(graph), graphs.taken(graph, instrument.operations)
        if instrument.dataflow is not None:
            self.backward_hooks = BackwardHooks(graph, instrument, instrument.dataflow)
        for chain in graphs.cut_points(graph, below_loss=goal.kind != "random projection", adapters=adapters):
            self._paths.append(self._follow(graph, chain))

    def _follow(self, graph: graphs.Graph, chain: list[int]) -> list[_Crossing]:
        """The cut points of one path, from the first layer to the output."""
        joined = graphs.merges(graph, chain)
        sources = {} if self._instrument.dataflow is None else self._instrument.dataflow.sources
        path: list[_Crossing] = []
        layer = ""
        for position in reversed(chain):
            node = graph.nodes[position]
            if is_communication(node):
                continue
            layer = (
                self._instrument.operations[node][0]
                if node in self._instrument.operations
                else self._instrument.homes.get(node, layer)
            )
            op = re.sub(r"Backward\d+$", "", node.name())
            entries = softmax_entries(node) if op == "Softmax" else 0
            point = CutPoint(layer, op, 0.0, source=sources.get(node), merges=position in joined, entries=entries)
            path.append((point, position, *self._observe(node)))
        return path[::-1]

    def _observe(self, node: Any) -> tuple[list[int], int | None]:
        """Where the gradient that arrives at a node will be found, and the output's index where it was measured."""
        if node in self._observed:  # the paths of a shared layer meet
            return self._observed[node]
        known = self._instrument.tensor_of.get((node, 0))
        if known is not None and (node, 1) not in self._instrument.tensor_of:
            return self._instrument.gradients[known[0]], known[1]
        arrived: list[int] = []

        def measure(gradients: tuple[torch.Tensor | None, ...]) -> None:
            for gradient in gradients:
                if gradient is not None and (index := self._gather.add(gradient)) is not None:
                    arrived.append(index)

        node.register_prehook(measure)
        self._observed[node] = (arrived, None if known is None else known[1])
        return self._observed[node]

    def _audit(self, graph: graphs.Graph) -> None:
        """Activations that the graph has and the function mode did not see are a gap, never passed in silence."""
        unseen = [node for node in graph.nodes[1:] if node not in self._instrument.operations]
        count = sum(node.name() in _ACTIVATION_NODES for node in unseen)
        if count:
            self.gaps.append(f"the units of {count} activation{'s' if count > 1 else ''} inside fused or scripted operations")
        custom = [type(node) for node in graph.nodes[1:] if hasattr(type(node), "_forward_cls") and not is_communication(node)]
        self.gaps += sorted({f"the inside of the custom autograd.Function {_bare(node)}" for node in custom})
        self.custom = tuple(sorted({_bare(node) for node in custom if of_a_person(node._forward_cls)}))

    @property
    def note(self) -> str:
        """Why the flow of a net of several layers cannot be judged; "" if it can."""
        if self.graph is None or any(len(path) > 1 for path in self._paths):
            return ""
        weights = sum(leaf.dim() > 1 for leaf in self.graph.variables())
        return _NO_COMMON_TENSOR if weights >= _SEVERAL else ""

    def forget(self) -> None:
        """Let go of the graph: its hooks lead back here."""
        self.graph = self.backward_hooks = None
        self._observed.clear()

    def points(self, stats: list[TensorStats], passes: Sequence[float] | None) -> tuple[CutPoint, ...]:
        """The flow along the path that changes the gradient most.

        Args:
            passes: what small factors leave of the gradient of each node (`loudest`).
        """
        if self.by == "module outputs":
            return _module_flow(self._instrument, stats)
        return max((_measured(path, stats, passes) for path in self._paths), key=_change, default=())


def _change(points: Sequence[CutPoint]) -> float:
    """How far the gradient shrinks or grows, on a log scale; one of zeros says nothing of the others that the layer gets."""
    ratio = flow_ratio(points)
    return -2.0 if ratio is None else abs(math.log(ratio)) if ratio else -1.0


def _measured(path: list[_Crossing], stats: list[TensorStats], passes: Sequence[float] | None) -> tuple[CutPoint, ...]:
    found = []
    for point, position, arrived, output in path:
        if arrived:
            gradient = TensorStats.merge([stats[i] for i in arrived])
            norm = gradient.norm if gradient.finite else float("nan")
            rms, shrunk = None if output is None else stats[output].rms, 1.0 if passes is None else passes[position]
            found.append(dataclasses.replace(point, gradient=norm, output=rms, shrunk=shrunk))
    return tuple(found)


def _module_flow(instrument: Instrument, stats: list[TensorStats]) -> tuple[CutPoint, ...]:
    found = []
    for name, seen in sorted(instrument.layers.items(), key=lambda item: item[1].order):
        arrived = [i for tensor in seen.tensors for i in instrument.gradients[tensor]]
        if arrived and not any(other.startswith(f"{name}.") for other in instrument.layers) and name:
            norm = TensorStats.merge([stats[i] for i in arrived]).norm
            found.append(CutPoint(name, seen.kind, norm, TensorStats.merge([stats[i] for i in seen.outputs]).rms))
    return tuple(found)


def of_a_person(function: type) -> bool:
    """Not one of torch's own; those that `torch.library` generates are."""
    return not function.__module__.startswith("torch.") or function.__module__ == "torch._library.autograd"


def _bare(node: type) -> str:
    return node.__name__.removesuffix("Backward").removeprefix("GeneratedBackwardFor_").removesuffix("_default")
