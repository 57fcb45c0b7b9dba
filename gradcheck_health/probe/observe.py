"""`probe`: one forward and one backward pass under observation, written down as a `Trace`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.batch import Inputs
from gradcheck_health.evidence import DoubleSoftmax
from gradcheck_health.measurements import CutPoint, InputsTrace, OutputTrace, TensorStats
from gradcheck_health.probe import graph as graphs
from gradcheck_health.probe.causality import says
from gradcheck_health.probe.decades import spreads
from gradcheck_health.probe.instrument import BATCH_NORM_VALUES, Instrument
from gradcheck_health.probe.layers import activation_traces, layer_traces, parameter_traces
from gradcheck_health.probe.names import NamedParameter, layer_names, named_parameters, registered, unwrap
from gradcheck_health.probe.objective import AUXILIARY, Leaf, Objective, leaves, objective
from gradcheck_health.probe.passes import backward, call, eager, safe_text
from gradcheck_health.probe.provenance import Provenance
from gradcheck_health.probe.squashes import double_softmaxes
from gradcheck_health.probe.statistics import Gather
from gradcheck_health.probe.subject import Subject
from gradcheck_health.probe.twins import twins
from gradcheck_health.probe.variation import input_variation, variation
from gradcheck_health.probe.wayback import WayBack
from gradcheck_health.trace import Trace

OFTEN = 5
"""From so many uses on a weight may be that of a recurrence."""
_ACTIVATION_NODES = frozenset({"ReluBackward0", "SigmoidBackward0", "TanhBackward0", "HardtanhBackward0", "HardswishBackward0"})


def probe(subject: Subject, *, every: bool = False, provenance: Provenance | None = None) -> Trace:
    """What one forward and one backward pass show. Call it inside `sandbox(subject.model)`.

    Args:
        every: project every output leaf, beside a loss that the model returns (see `objective`).
        provenance: take the second, slower look, and tell this one what is seen.

    Raises:
        ModelError: forward raised, or returned nothing that holds a tensor.
        UsageError: `subject.loss` did not return a differentiable scalar.
    """
    model = unwrap(subject.model)
    for parameter in model.parameters():
        parameter.grad = None
    gather = Gather()
    watch = Instrument(layer_names(model), gather, provenance)
    with eager(), watch.forward():
        output = call(subject.model, subject.inputs, subject.seed)
        goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed, every=every)
    found = list(leaves(output))
    known = [(leaf, gather.add(leaf.tensor), variation(leaf.tensor, subject.inputs.batch)) for leaf in found]
    cuts = () if provenance is None else provenance.cuts(output)
    del output
    flow = _Flow(goal, watch, gather)
    error = ""
    try:
        with watch.backward():
            backward(goal, model, () if flow.graph is None else flow.graph.variables())
    except Exception as raised:  # noqa: BLE001 - a custom backward raises what it likes
        error = f"{type(raised).__name__}: {safe_text(raised)}"
    named = named_parameters(model)
    unused = frozenset() if provenance is None else frozenset(provenance.followed) - provenance.used
    gradients = [None if entry.tensor.grad is None else gather.add(entry.tensor.grad) for entry in named]
    values = [None if is_lazy(entry.tensor) else gather.add(entry.tensor) for entry in named]
    wide = spreads([entry.tensor.grad for entry in named])
    stats = gather.collect()
    return Trace(
        model=type(model).__name__,
        layers=layer_traces(model, watch, stats),
        parameters=parameter_traces(
            named, watch, [_at(stats, i) for i in values], [_at(stats, i) for i in gradients], wide, unused
        ),
        activations=activation_traces(watch),
        flow=flow.points(stats),
        outputs=tuple(_output(leaf, goal, _at(stats, index), share) for leaf, index, share in known),
        inputs=_inputs(subject.inputs),
        objective=goal.kind,
        seed=subject.seed,
        flow_by=flow.by,
        flow_note=_flow_note(watch),
        loss=goal.value,
        training=model.training,
        declared=subject.declared,
        causal=says(model) or watch.attention.shows(),
        custom_functions=flow.custom,
        repeats=_repeats(named, flow.uses),
        half=_half(model),
        gaps=(*watch.gaps, *flow.gaps),
        cuts=cuts,
        nonfinite=() if provenance is None else tuple(provenance.nonfinite),
        twins=twins(named),
        double_softmaxes=flow.double_softmaxes,
        leaves=0 if flow.graph is None else len(flow.graph.leaves.keys() - registered(model)),
        zeroed=() if flow.wayback is None or provenance is None else flow.wayback.zeroed(provenance.followed),
        backward_error=error,
        rounds=subject.rounds,
    )


class _Flow:
    """The cut points of the graph and the gradients that cross them."""

    def __init__(self, goal: Objective, watch: Instrument, gather: Gather) -> None:
        self.by = "cut points"
        self.gaps: list[str] = []
        self.double_softmaxes: tuple[DoubleSoftmax, ...] = ()
        self.uses: dict[int, int] = {}
        self.wayback: WayBack | None = None
        self.custom: tuple[str, ...] = ()
        self._watch, self._gather = watch, gather
        self._points: list[tuple[CutPoint, list[int], int | None]] = []
        roots = [root.grad_fn for root in goal.roots if root.grad_fn is not None]
        self.graph = graph = graphs.walk(roots) if roots else None
        if graph is None:
            if roots:
                self.by = "module outputs"
                self.gaps.append(
                    f"the autograd graph: more than {graphs.NODE_CAP} nodes, so the flow is read off module outputs"
                )
            return
        self._audit(graph)
        sources = {} if watch.provenance is None else watch.provenance.sources
        self.double_softmaxes = double_softmaxes(graph, watch.operations, sources)
        self.uses = graphs.uses(graph)
        if watch.provenance is not None:
            self.wayback = WayBack(graph, watch, watch.provenance)
        layer = ""
        chain = graphs.cut_points(graph, below_loss=goal.kind != "random projection")
        joined = graphs.merges(graph, chain)
        for position in reversed(chain):
            node = graph.nodes[position]
            layer = watch.operations[node][0] if node in watch.operations else watch.homes.get(node, layer)
            source = None if watch.provenance is None else watch.provenance.sources.get(node)
            name = node.name().removesuffix("Backward0")
            self._points.append((CutPoint(layer, name, 0.0, source=source, merges=position in joined), *self._observe(node)))
        self._points.reverse()

    def _observe(self, node: Any) -> tuple[list[int], int | None]:
        """Where the gradient that arrives at a node will be found, and the output's index where it was measured."""
        known = self._watch.tensor_of.get((node, 0))
        if known is not None and (node, 1) not in self._watch.tensor_of:
            return self._watch.gradients[known[0]], known[1]
        arrived: list[int] = []

        def measure(gradients: tuple[torch.Tensor | None, ...]) -> None:
            for gradient in gradients:
                if gradient is not None and (index := self._gather.add(gradient)) is not None:
                    arrived.append(index)

        node.register_prehook(measure)
        return arrived, None if known is None else known[1]

    def _audit(self, graph: graphs.Graph) -> None:
        """Activations that the graph has and the function mode did not see are a gap, never passed in silence."""
        unseen = [node for node in graph.nodes[1:] if node not in self._watch.operations]
        count = sum(node.name() in _ACTIVATION_NODES for node in unseen)
        if count:
            self.gaps.append(f"the units of {count} activation{'s' if count > 1 else ''} inside fused or scripted operations")
        custom = [type(node) for node in graph.nodes[1:] if hasattr(type(node), "_forward_cls")]
        self.gaps += sorted({f"the inside of the custom autograd.Function {_bare(node)}" for node in custom})
        self.custom = tuple(sorted({_bare(node) for node in custom if of_a_person(node._forward_cls)}))

    def points(self, stats: list[TensorStats]) -> tuple[CutPoint, ...]:
        if self.by == "module outputs":
            return _module_flow(self._watch, stats)
        found = []
        for point, arrived, output in self._points:
            if arrived:
                gradient = TensorStats.merge([stats[i] for i in arrived])
                norm = gradient.norm if gradient.finite else float("nan")
                found.append(dataclasses.replace(point, gradient=norm, output=None if output is None else stats[output].rms))
        return tuple(found)


def _module_flow(watch: Instrument, stats: list[TensorStats]) -> tuple[CutPoint, ...]:
    found = []
    for name, seen in sorted(watch.layers.items(), key=lambda item: item[1].order):
        arrived = [i for tensor in seen.tensors for i in watch.gradients[tensor]]
        if arrived and not any(other.startswith(f"{name}.") for other in watch.layers) and name:
            norm = TensorStats.merge([stats[i] for i in arrived]).norm
            found.append(CutPoint(name, seen.kind, norm, TensorStats.merge([stats[i] for i in seen.outputs]).rms))
    return tuple(found)


def _at(stats: list[TensorStats], index: int | None) -> TensorStats | None:
    return None if index is None else stats[index]


def _inputs(fed: Inputs) -> InputsTrace:
    return InputsTrace(fed.describe(), fed.origin, fed.made_up, fed.batch, input_variation(fed), fed.left_out)


def _output(leaf: Leaf, goal: Objective, stats: TensorStats | None, share: float | None) -> OutputTrace:
    probed = any(root is leaf.tensor for root in goal.roots) or goal.kind == "the given loss"
    taken = "auxiliary" if AUXILIARY.search(leaf.path) else "the model's own loss was taken instead"
    why = "" if probed else taken if leaf.differentiable else "carries no gradient"
    dtype = str(leaf.tensor.dtype).removeprefix("torch.")
    return OutputTrace(leaf.path, tuple(leaf.tensor.shape), dtype, probed, why, stats, share)


def _flow_note(watch: Instrument) -> str:
    values = watch.batch_norm_values
    if values is None or values >= BATCH_NORM_VALUES:
        return ""
    return (
        f"a batch norm in training mode saw {values} values a channel: with fewer than {BATCH_NORM_VALUES} its gradient says "
        "nothing about the model (give a larger batch, or model.eval())"
    )


def of_a_person(function: type) -> bool:
    """Not one of torch's own; those that `torch.library` generates are."""
    return not function.__module__.startswith("torch.") or function.__module__ == "torch._library.autograd"


def _bare(node: type) -> str:
    return node.__name__.removesuffix("Backward").removeprefix("GeneratedBackwardFor_").removesuffix("_default")


def _repeats(named: Sequence[NamedParameter], uses: Mapping[int, int]) -> tuple[int, ...]:
    """How often weights are used that are used again and again; torch's own recurrent layers are known as such."""
    weights = [entry for entry in named if entry.kind not in ("RNN", "LSTM", "GRU") and entry.role == "weight"]
    return tuple(sorted({count for entry in weights if (count := uses.get(id(entry.tensor), 0)) >= OFTEN}))


def _half(model: nn.Module) -> bool:
    with contextlib.suppress(StopIteration):
        return next(p.dtype for p in model.parameters() if p.is_floating_point()) in (torch.float16, torch.bfloat16)
    return False
