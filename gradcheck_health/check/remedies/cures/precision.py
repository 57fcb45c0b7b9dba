"""Numbers with more range, or a loss that makes better use of the range there is."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.model.nest import leaves, map_tensors
from gradcheck_health.probe.objective import own_loss
from gradcheck_health.records.finding import Finding
from gradcheck_health.rules.analysis import half_precision

_FLUSHED = 0.01
"""Share of the entries of the gradient that may still become zero."""


def float32(patient: Patient, finding: Finding) -> Change | None:
    """The whole model in single precision."""
    return _in(patient, finding, torch.float32)


def bfloat16(patient: Patient, finding: Finding) -> Change | None:
    """The whole model in the half precision that has the range of float32."""
    return _in(patient, finding, torch.bfloat16)


def loss_scale(patient: Patient, finding: Finding) -> Change | None:
    """Micikevicius et al. 2018: the loss times a power of two, by which a gradient scaler divides the gradients again."""
    headrooms = [one for seen in patient.trace.facts.get("headroom", ()) for one in seen.headrooms]
    scales = [half_precision.helpful_scale(one, _FLUSHED) for one in headrooms]
    own = patient.subject.loss is None
    if finding.rule != "half-precision-underflow" or patient.trace.loss is None or not scales or None in scales:
        return None
    scale = max(one for one in scales if one is not None)

    def scaled(module: torch.nn.Module, args: Any, output: Any) -> Any:
        found = own_loss([leaf for leaf in leaves(output) if leaf.differentiable])
        loss = None if found is None else found.tensor
        return output if loss is None else map_tensors(output, lambda one: one * scale if one is loss else one)

    if own:
        patient.model.register_forward_hook(scaled)
    change = changed(f"torch.amp.GradScaler(init_scale={scale:.0f}), or the loss times {scale:.0f}", [""], direct=True)
    return None if change is None else dataclasses.replace(change, scale=scale)


def _in(patient: Patient, finding: Finding, dtype: torch.dtype) -> Change | None:
    half = any(p.dtype == "float16" for p in patient.trace.parameters.values())
    if finding.rule not in (*causes.HALF, "nonfinite-gradient", "zero-gradient") or not half:
        return None
    patient.model.to(dtype)

    def cast(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        def to(value: Any) -> Any:
            return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value

        return tuple(map(to, args)), {name: to(value) for name, value in kwargs.items()}

    patient.model.register_forward_pre_hook(cast, with_kwargs=True)
    return changed(f"model.to({dtype}), and the inputs", [""], direct=True)
