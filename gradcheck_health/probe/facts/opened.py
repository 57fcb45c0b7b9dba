"""What does a pass show once learnt factors that start near zero are half open? A probe of two samples."""

from __future__ import annotations

from functools import partial

import torch

from gradcheck_health.model.distributed.shards import local, local_part
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.gates import OPENED, closed_gates
from gradcheck_health.probe.experiments.subbatch import judged_on_few
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace

SAMPLES = 2


def opened(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with all such factors (LayerScale, SkipInit) at N(0, 0.5); an empty one where there are none.

    What is small behind them alone is not small then. The fact `kicked` opens them, too, and moves every other weight, on
    the whole batch; this one says for less that they were all there was.
    """
    gates = closed_gates(subject, trace)
    if not gates:
        return (trace.only(),)
    return (judged_on_few(partial(_opened, gates=gates), subject, SAMPLES),)


def _opened(subject: Subject, gates: set[str]) -> Trace:
    generator = torch.Generator().manual_seed(subject.seed)
    with sandbox(subject.model), torch.no_grad():
        for entry in named_parameters(unwrap(subject.model)):
            if entry.name in gates:
                noise = torch.randn(entry.tensor.shape, generator=generator) * OPENED
                local(entry.tensor).copy_(local_part(noise.to(entry.tensor.device), entry.tensor))
        return probe(subject)
