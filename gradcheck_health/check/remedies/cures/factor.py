"""Constant factors of an odd size taken out."""

from __future__ import annotations

from typing import Any

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.edit import edit
from gradcheck_health.check.remedies.operations import factor
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.records.finding import Finding

_CLOSE = 1e-6


def drop_factor(patient: Patient, finding: Finding) -> Change | None:
    """A product with a constant number becomes its other operand."""
    if not causes.of_weights(finding) and finding.rule != "nonfinite-gradient":
        return None
    found = causes.factors(patient, finding)
    if not found:
        return None
    wanted = {(one.layer, one.value) for one in found}

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        scaled = factor(func, args)
        if scaled is None or not any(layer == at and abs(scaled[1] / value - 1) < _CLOSE for at, value in wanted):
            return NotImplemented
        return scaled[0]

    mode = edit(patient.model, editor)
    values = ", ".join(dict.fromkeys(f"{one.value:.3g}" for one in found))
    return changed(f"the factor {values} left out", [one.layer for one in found], mode=mode, direct=True)
