"""`probe`: one forward and one backward pass under observation, written down as a `Trace`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.batch import Inputs
from gradcheck_health.measurements import InputsTrace, OutputTrace, TensorStats
from gradcheck_health.probe.carried import carried
from gradcheck_health.probe.causality import says
from gradcheck_health.probe.cutpoints import Flow
from gradcheck_health.probe.decades import spreads
from gradcheck_health.probe.functions import BATCH_NORM_VALUES
from gradcheck_health.probe.instrument import Instrument
from gradcheck_health.probe.layers import activation_traces, layer_traces, parameter_traces
from gradcheck_health.probe.names import NamedParameter, layer_names, named_parameters, registered, unwrap
from gradcheck_health.probe.objective import AUXILIARY, Leaf, Objective, leaves, objective
from gradcheck_health.probe.passes import backward, call, eager, safe_text
from gradcheck_health.probe.provenance import Provenance
from gradcheck_health.probe.recurring import recurring
from gradcheck_health.probe.starved import starved
from gradcheck_health.probe.statistics import Gather
from gradcheck_health.probe.subject import Subject
from gradcheck_health.probe.twins import twins
from gradcheck_health.probe.variation import input_variation, variation
from gradcheck_health.trace import Trace

NO_GRADIENT = "carries no gradient"
"""Why an output was not probed; the others were left out on purpose."""
OFTEN = 5
"""From so many uses on a weight may be that of a recurrence."""


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
    before = carried(model)
    fed = _inputs(subject.inputs)  # while nothing else takes memory
    gather = Gather()
    watch = Instrument(layer_names(model), gather, provenance)
    with eager(), watch.forward():
        output = call(subject.model, subject.inputs, subject.seed)
        goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed, every=every)
    found = list(leaves(output))
    known = [(leaf, gather.add(leaf.tensor), variation(leaf.tensor, subject.inputs.batch)) for leaf in found]
    cuts = () if provenance is None else provenance.cuts(output)
    del output
    flow = Flow(goal, watch, gather)
    error = ""
    try:
        with watch.backward():
            backward(goal, model, () if flow.graph is None else flow.graph.variables())
    except Exception as raised:  # noqa: BLE001 - a custom backward raises what it likes
        error = f"{type(raised).__name__}: {safe_text(raised)}"
    named = named_parameters(model)
    unused = frozenset() if provenance is None else frozenset(provenance.followed) - provenance.used
    arrived = [entry.tensor.grad for entry in named]
    gradients = gather.add_all(arrived, extremes=True)
    values = gather.add_all((None if is_lazy(entry.tensor) else entry.tensor for entry in named), extremes=False)
    wide = spreads(arrived)
    stats, activations = gather.collect(), activation_traces(watch)
    trace = Trace(
        model=type(model).__name__,
        layers=layer_traces(model, watch, stats),
        parameters=parameter_traces(
            named, watch, [_at(stats, i) for i in values], [_at(stats, i) for i in gradients], wide, unused, flow.uses
        ),
        activations=activations,
        flow=flow.points(stats),
        outputs=tuple(_output(leaf, goal, _at(stats, index), share) for leaf, index, share in known),
        inputs=fed,
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
        gaps=(*watch.gaps, *flow.gaps, *starved(named, arrived, wide, activations)),
        cuts=cuts,
        nonfinite=() if provenance is None else tuple(provenance.nonfinite),
        twins=twins(named, flow.graph),
        double_softmaxes=flow.double_softmaxes,
        leaves=0 if flow.graph is None else len(flow.graph.leaves.keys() - registered(model)),
        zeroed=() if flow.wayback is None or provenance is None else flow.wayback.zeroed(provenance.followed),
        recurring=() if flow.graph is None else recurring(flow.graph, watch, named),
        backward_error=error,
        carried=tuple(name for name, held in carried(model).items() if before.get(name) != held),
        rounds=subject.rounds,
    )
    watch.forget()
    return trace


def _at(stats: list[TensorStats], index: int | None) -> TensorStats | None:
    return None if index is None else stats[index]


def _inputs(fed: Inputs) -> InputsTrace:
    return InputsTrace(fed.describe(), fed.origin, fed.made_up, fed.batch, input_variation(fed), fed.left_out)


def _output(leaf: Leaf, goal: Objective, stats: TensorStats | None, share: float | None) -> OutputTrace:
    probed = any(root is leaf.tensor for root in goal.roots) or goal.kind == "the given loss"
    taken = "auxiliary" if AUXILIARY.search(leaf.path) else "the model's own loss was taken instead"
    why = "" if probed else taken if leaf.differentiable else NO_GRADIENT
    dtype = str(leaf.tensor.dtype).removeprefix("torch.")
    return OutputTrace(leaf.path, tuple(leaf.tensor.shape), dtype, probed, why, stats, share)


def _flow_note(watch: Instrument) -> str:
    values = watch.functions.batch_norm_values
    if values is None or values >= BATCH_NORM_VALUES:
        return ""
    return (
        f"a batch norm in training mode saw {values} values a channel: with fewer than {BATCH_NORM_VALUES} its gradient says "
        "nothing about the model (give a larger batch, or model.eval())"
    )


def _repeats(named: Sequence[NamedParameter], uses: Mapping[int, int]) -> tuple[int, ...]:
    """How often weights are used that are used again and again; torch's own recurrent layers are known as such."""
    weights = [entry for entry in named if entry.kind not in ("RNN", "LSTM", "GRU") and entry.role == "weight"]
    return tuple(sorted({count for entry in weights if (count := uses.get(id(entry.tensor), 0)) >= OFTEN}))


def _half(model: nn.Module) -> bool:
    with contextlib.suppress(StopIteration):
        return next(p.dtype for p in model.parameters() if p.is_floating_point()) in (torch.float16, torch.bfloat16)
    return False
