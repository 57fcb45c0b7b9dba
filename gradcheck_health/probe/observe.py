"""`probe`: one forward and one backward pass under observation, written down as a `Trace`."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.call import call, eager, safe_text
from gradcheck_health.model.distributed.kinds import is_distributed, is_sharded
from gradcheck_health.model.distributed.ranks import current
from gradcheck_health.model.distributed.shards import local, stand_ins
from gradcheck_health.model.names import NamedParameter, layer_names, named_parameters
from gradcheck_health.model.nest import OutputTensor, leaves
from gradcheck_health.model.tree import modules
from gradcheck_health.model.wrappers import own_class, unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.experiments.proofs import Proofs
from gradcheck_health.probe.forward.causal_attention import causal_by_config
from gradcheck_health.probe.forward.dataflow import Dataflow
from gradcheck_health.probe.forward.functions import BATCH_NORM_VALUES
from gradcheck_health.probe.forward.instrument import Instrument, Seen
from gradcheck_health.probe.forward.retained_graph import carried, stale
from gradcheck_health.probe.forward.traces import activation_traces, layer_traces, parameter_traces
from gradcheck_health.probe.forward.writes import Writes
from gradcheck_health.probe.graph.cut_points import Flow
from gradcheck_health.probe.graph.factors import loudest, shrunk
from gradcheck_health.probe.graph.first_layer import OFTEN
from gradcheck_health.probe.graph.identical_units import twins
from gradcheck_health.probe.graph.loss_terms import has_constant_term
from gradcheck_health.probe.graph.recurrent_weights import recurring
from gradcheck_health.probe.graph.strangers import Strangers
from gradcheck_health.probe.objective import AUXILIARY, Objective, objective
from gradcheck_health.probe.statistics.activations_over_ranks import of_whole_activations, tensor_parallel_groups
from gradcheck_health.probe.statistics.histogram import spreads
from gradcheck_health.probe.statistics.over_ranks import of_whole_tensors
from gradcheck_health.probe.statistics.over_stages import of_all_stages
from gradcheck_health.probe.statistics.sample_variation import input_rms, input_variation, variation
from gradcheck_health.probe.statistics.signs import one_sided
from gradcheck_health.probe.statistics.tensor_stats import Gather
from gradcheck_health.probe.statistics.zero_rows import starved
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import out_of_memory, ran_out_of_memory
from gradcheck_health.records.finding import LOSS
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.measurements import InputsTrace, OutputTrace, TensorStats
from gradcheck_health.records.severed import unexplained
from gradcheck_health.records.trace import Trace

NO_GRADIENT = "carries no gradient"
"""Why an output was not probed; the others were left out on purpose."""


def probe(
    subject: Subject,
    *,
    every: bool = False,
    dataflow: Dataflow | None = None,
    prove: Collection[str] = (),
    equal: Collection[str] | None = None,
) -> Trace:
    """What one forward and one backward pass show. Call it inside `sandbox(subject.model)`.

    Args:
        every: project every output leaf, beside a loss that the model returns (see `objective`).
        dataflow: take the second, slower pass, and tell this one what is seen.
        prove: what to try to prove of forward: "apart", that it keeps the samples apart, "in order", that no step of a sequence
            moves an earlier one.
        equal: after steps, the weights some of whose units were equal before, and not zero (see `twins`).

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
    writes = Writes(model)
    proofs = Proofs(subject, prove)
    instrument = Instrument(layer_names(model), gather, dataflow, writes, proofs.followed)
    with eager(), instrument.forward():
        with proofs.noticed():
            output = call(subject.model, subject.inputs, subject.seed)
        proven = proofs.of(output)
        instrument.outside = LOSS if subject.loss is not None else ""
        goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed, every=every)
    found = list(leaves(output))
    known = [(leaf, gather.add(leaf.tensor), variation(leaf.tensor, subject.inputs.batch)) for leaf in found]
    cuts = () if dataflow is None else dataflow.cuts(goal.end)
    del output
    flow = Flow(goal, instrument, gather, adapters=_mostly_frozen(model), stand_ins=stand_ins(model))
    error = ""
    try:
        with instrument.backward():
            backward(goal, model, () if flow.graph is None else flow.graph.variables())
    except Exception as raised:
        if ran_out_of_memory(raised):
            raise out_of_memory("in the backward pass", raised) from raised
        error = f"{type(raised).__name__}: {safe_text(raised)}"
    spread = is_distributed(model)
    named = named_parameters(model)  # now: after forward `fully_shard` had whole ones in their places
    unused = frozenset() if dataflow is None else frozenset(dataflow.followed) - dataflow.used
    arrived = [None if (gradient := entry.tensor.grad) is None else local(gradient) for entry in named]
    gradients = gather.add_all(arrived, extremes=True)
    values = gather.add_all((None if is_lazy(entry.tensor) else local(entry.tensor) for entry in named), extremes=False)
    wide = spreads(arrived)
    stats, activations = gather.collect(), activation_traces(instrument)
    measured = [_at(stats, i) for i in values], [_at(stats, i) for i in gradients]
    alike = twins(named, flow.graph, equal)
    if spread:
        whole = of_whole_tensors([entry.tensor for entry in named], *measured, alike, [entry.name for entry in named])
        measured, alike = whole[:2], whole[2]
    # the rows of a weight that is spread lie on several ranks; of zeros alone there is nothing to tell apart
    rows = [
        None if is_sharded(entry.tensor) or (known is not None and known.is_zero) else gradient
        for entry, gradient, known in zip(named, arrived, measured[1], strict=True)
    ]
    sizes = {id(entry.tensor): value.rms for entry, value in zip(named, measured[0], strict=True) if value is not None}
    passes = None if flow.graph is None else loudest(flow.graph, sizes)
    factors = {} if flow.graph is None else shrunk(flow.graph, passes)
    without = starved(named, rows, wide, activations)
    kept = list(stale(model, before, () if flow.graph is None else flow.graph.nodes))
    renewed = [f"{name} as {renewal}() makes it: forward used what it found there" for name, renewal in kept if renewal]
    trace = Trace(
        model=own_class(model).__name__,
        layers=layer_traces(model, instrument, stats),
        parameters=parameter_traces(named, instrument, *measured, wide, unused, flow.uses, factors),
        activations=activations,
        flow=flow.points(stats, passes),
        outputs=tuple(_output(leaf, goal, _at(stats, index), share) for leaf, index, share in known),
        inputs=fed,
        objective=goal.kind,
        seed=subject.seed,
        flow_by=flow.by,
        flow_note=_flow_note(instrument) or flow.note,
        loss=goal.value,
        training=model.training,
        declared=subject.declared,
        causal=causal_by_config(model) or instrument.attention.causal_by_attention(),
        custom_functions=flow.custom,
        repeats=_repeats(named, flow, instrument.layers, subject.inputs),
        half=_half(named),
        gaps=(*instrument.gaps, *flow.gaps, *unexplained(without), *renewed),
        starved=without,
        one_sided=one_sided(named),
        draws=tuple(instrument.functions.draws),
        compiles=subject.compiled is not None,
        cuts=cuts,
        nonfinite=() if dataflow is None else tuple(dataflow.nonfinite),
        twins=alike,
        double_softmaxes=flow.double_softmaxes,
        zeroed=() if flow.backward_hooks is None or dataflow is None else flow.backward_hooks.zeroed(dataflow.followed),
        recurring=() if flow.graph is None else recurring(flow.graph, instrument, named),
        backward_error=error,
        carried=tuple(name for name, held in carried(model).items() if before.get(name) != held),
        stale=tuple(name for name, renewal in kept if not renewal),
        rewritten=writes.rewritten(),
        overwritten=tuple(writes.overwritten),
        ranks=1 if (together := current()) is None else together.size,
        rounds=subject.rounds,
        anew=subject.rebuild is not None,
        uninitialized=subject.uninitialized,
        misread=tuple(instrument.losses.misread) if goal.value is not None else (),
        pairings=tuple(instrument.losses.pairings) if goal.value is not None else (),
        fragile=tuple(instrument.fragile),
        apart="apart" in proven,
        in_order="in order" in proven,
        constant_terms=goal.value is not None and has_constant_term(goal.roots),
    )
    strangers = Strangers(flow.graph, model, trace.parameters.values())
    instrument.forget()
    flow.forget()
    if strangers:
        del goal, found, known  # the last to hold the graph
        trace = dataclasses.replace(trace, leaves=strangers.count())
    return of_all_stages(of_whole_activations(trace, tensor_parallel_groups(model)), model) if spread else trace


def _at(stats: list[TensorStats], index: int | None) -> TensorStats | None:
    return None if index is None else stats[index]


def _inputs(fed: Inputs) -> InputsTrace:
    return InputsTrace(fed.describe(), fed.origin, fed.made_up, fed.batch, input_variation(fed), fed.left_out, input_rms(fed))


def _output(leaf: OutputTensor, goal: Objective, stats: TensorStats | None, share: float | None) -> OutputTrace:
    probed = any(root is leaf.tensor for root in goal.roots) or goal.kind == "the given loss"
    taken = "auxiliary" if AUXILIARY.search(leaf.path) else "the model's own loss was taken instead"
    why = "" if probed else taken if leaf.differentiable else NO_GRADIENT
    dtype = str(leaf.tensor.dtype).removeprefix("torch.")
    return OutputTrace(leaf.path, tuple(leaf.tensor.shape), dtype, probed, why, stats, share)


def _flow_note(instrument: Instrument) -> str:
    values = instrument.functions.batch_norm_values
    if values is None or values >= BATCH_NORM_VALUES:
        return ""
    return (
        f"a batch norm in training mode saw {values} values a channel: with fewer than {BATCH_NORM_VALUES} its gradient says "
        "nothing about the model (give a larger batch, or model.eval())"
    )


def _repeats(named: Sequence[NamedParameter], flow: Flow, layers: Mapping[str, Seen], fed: Inputs) -> tuple[int, ...]:
    """How often weights are used that are used again and again; torch's own recurrent layers are known as such.

    Of a layer whose calls do not all lead to the output, as where the state is detached, the calls count. A scan whose
    decays are computed at once uses no weight again: there, a tensor is taken once a step of the input.
    """
    axes = {size for leaf in leaves((fed.args, dict(fed.kwargs))) for size in leaf.tensor.shape[1:]}
    found = flow.taken & axes
    for entry in named:
        if (
            entry.role in ("weight", "vector")
            and entry.kind not in ("RNN", "LSTM", "GRU")
            and (count := flow.uses.get(id(entry.tensor), 0))
        ):
            found.add(max(count, layers[entry.layer].calls if entry.layer in layers else 0))
    return tuple(sorted(count for count in found if count >= OFTEN))


def _mostly_frozen(model: nn.Module) -> bool:
    own = {id(p): p for module in modules(model) for p in module._parameters.values() if p is not None}
    floating = [p for p in own.values() if not is_lazy(p) and p.is_floating_point()]
    return sum(p.numel() for p in floating if p.requires_grad) < sum(p.numel() for p in floating if not p.requires_grad)


def _half(named: Sequence[NamedParameter]) -> bool:
    first = next((entry.tensor.dtype for entry in named if entry.tensor.is_floating_point()), None)
    return first in (torch.float16, torch.bfloat16)
