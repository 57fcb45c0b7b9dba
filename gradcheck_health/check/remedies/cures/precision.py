"""Numbers with more range."""

from __future__ import annotations

from typing import Any

import torch

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.records.finding import Finding


def float32(patient: Patient, finding: Finding) -> Change | None:
    """The whole model in single precision."""
    return _in(patient, finding, torch.float32)


def bfloat16(patient: Patient, finding: Finding) -> Change | None:
    """The whole model in the half precision that has the range of float32."""
    return _in(patient, finding, torch.bfloat16)


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
