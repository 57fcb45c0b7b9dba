"""A step away from any special initialisation: noise on every weight."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch.nn.parameter import is_lazy

from gradcheck_health.model.distributed.kinds import is_sharded
from gradcheck_health.model.distributed.shards import local, local_part
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.gates import OPENED
from gradcheck_health.probe.statistics.tensor_stats import measure, plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.measurements import TensorStats
from gradcheck_health.records.trace import Trace


def kick(subject: Subject, trace: Trace, gates: Collection[str] = ()) -> None:
    """Move the weights, as the fact `kicked` says. Call it in a sandbox.

    Args:
        gates: names of those that are opened.
    """
    generator = torch.Generator().manual_seed(subject.seed)
    with torch.no_grad():
        tensors = {entry.name: entry.tensor for entry in named_parameters(unwrap(subject.model))}
        for name in trace.parameters:  # in execution order: the noise must not depend on the order of registration
            if name in tensors and not is_lazy(tensors[name]) and tensors[name].is_floating_point():
                _kick(tensors[name], generator, trace.parameters[name].value, gate=name in gates)


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
