"""The kicked point: a step away from any special initialisation."""

from __future__ import annotations

import math

import torch
from torch.nn.parameter import is_lazy

from gradcheck_health.model.distributed.kinds import is_sharded
from gradcheck_health.model.distributed.shards import local, local_part
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.gates import OPENED, closed_gates
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.statistics.tensor_stats import measure, plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.measurements import TensorStats
from gradcheck_health.records.trace import Trace


def kicked(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace on perturbed weights.

    Every weight gets 5 % of its rms in noise, all-zero matrices become N(0, 0.1 / sqrt(fan_in)), all-zero vectors N(0, 0.1).
    Zero heads, LoRA, zero-gamma, ControlNet and ReZero wake up there; truly sick nets stay sick. What a branch is multiplied
    by, entry by entry, and learns from a start near zero (the scale of queries and keys in a gated attention unit) becomes
    N(0, 0.5): a factor that is learnt is an initialisation, one that is fixed stays.
    """
    gates = closed_gates(subject, trace)
    with sandbox(subject.model):
        generator = torch.Generator().manual_seed(subject.seed)
        with torch.no_grad():
            tensors = {entry.name: entry.tensor for entry in named_parameters(unwrap(subject.model))}
            for name in trace.parameters:  # in execution order: the noise must not depend on the order of registration
                if name in tensors and not is_lazy(tensors[name]) and tensors[name].is_floating_point():
                    _kick(tensors[name], generator, trace.parameters[name].value, gate=name in gates)
        return (probe(subject),)


def _kick(parameter: torch.Tensor, generator: torch.Generator, known: TensorStats, *, gate: bool) -> None:
    """Args: known: what was measured of it, of which a rank may hold a part alone."""
    noise = local_part(torch.randn(parameter.shape, generator=generator, device="cpu").to(parameter.device), parameter)
    values = plain(parameter)
    rms = 0.0 if values is None else known.rms if is_sharded(parameter) else measure(values).rms
    if gate:
        local(parameter).zero_()
        scale = OPENED
    elif rms > 0:
        scale = 0.05 * rms
    else:
        # a layer may be made for no features at all
        scale = 0.1 / math.sqrt(max(math.prod(parameter.shape[1:]), 1)) if parameter.dim() > 1 else 0.1
    local(parameter).add_(noise.mul_(scale).to(parameter.dtype))
