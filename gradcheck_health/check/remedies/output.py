"""The forward signal of a model: how large its output is, and how much of it depends on the sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradcheck_health.check.remedies.operations import product
from gradcheck_health.check.remedies.patient import Patient
from gradcheck_health.model.call import call
from gradcheck_health.probe.statistics.sample_variation import variation
from gradcheck_health.records.trace import Trace


@dataclass(frozen=True, slots=True)
class Output:
    variation: float | None
    rms: float | None


def output_of(patient: Patient, trace: Trace) -> Output:
    """Of the largest probed output; of a model that returns its own loss what its last product with a weight makes."""
    probed = [one for one in trace.outputs if one.probed and one.stats is not None and one.variation is not None]
    if probed and max(one.stats.numel for one in probed if one.stats) > 1:
        main = max(probed, key=lambda one: one.stats.numel if one.stats else 0)
        return Output(main.variation, main.stats.rms if main.stats else None)
    last = _Last()
    with last:
        call(patient.model, patient.subject.inputs, patient.subject.seed)
    if last.made is None:
        return Output(None, None)
    made = last.made.detach().float()
    return Output(variation(made, patient.subject.inputs.batch), float(made.square().mean().sqrt()))


class _Last(TorchFunctionMode):
    """Keeps what the last product with a weight returned."""

    def __init__(self) -> None:
        super().__init__()
        self.made: torch.Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if product(func, args, kwargs or {}) is not None:
            self.made = out
        return out
