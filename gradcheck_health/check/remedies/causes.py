"""What is at fault, read off a finding: a remedy is offered for a cause that it acts on."""

from __future__ import annotations

from gradcheck_health.check.remedies.operations import Operation
from gradcheck_health.check.remedies.patient import Patient
from gradcheck_health.records.finding import Finding

FLOW = ("vanishing-gradient", "exploding-gradient")
TIME = ("vanishing-through-time", "exploding-through-time")
UNITS = ("dead-unit", "saturated-activation")
HALF = ("half-precision-overflow", "half-precision-underflow")
_BY_SIZE = (*FLOW, *TIME, *UNITS, *HALF, "unbalanced-gradient", "high-initial-loss", "identical-units", "zero-gradient")
_BY_SIZE_TOO = ("constant-output", "unlucky-initialisation", "one-sided-weight")
_EXTREME = 30.0
"""A factor beyond it, or below its inverse, is no temperature."""


def of_weights(finding: Finding) -> bool:
    """Other initial values may do away with it: not where an operation makes NaN, which others avoid by luck only."""
    return finding.rule in (*_BY_SIZE, *_BY_SIZE_TOO) and finding.cause != "targets"


def of_signals(finding: Finding) -> bool:
    """A normalisation may do away with it."""
    return of_weights(finding) and finding.rule not in ("identical-units", "high-initial-loss")


def activations(patient: Patient, finding: Finding) -> frozenset[tuple[str, str]]:
    """(layer, function) of the activations at the finding's places that lie between layers; of gates there are none."""
    places = set(finding.names)
    hidden = [(one.layer, one.name) for one in patient.hidden_activations()]
    found = frozenset(pair for pair in hidden if pair[0] in places)
    if finding.rule in FLOW and finding.cause.lower() in {name.replace("_", "") for _, name in hidden}:
        return frozenset(pair for pair in found if pair[1].replace("_", "") == finding.cause.lower()) or found
    if finding.rule in UNITS:
        at_fault = {a.layer for a in patient.trace.activations if {a.layer, a.producer} & places}
        return frozenset(pair for pair in hidden if pair[0] in at_fault or pair in found)
    return found or (frozenset(hidden) if finding.rule in FLOW else frozenset())


def factors(patient: Patient, finding: Finding) -> tuple[Operation, ...]:
    """Constant factors that may be at fault: where the finding is one, all at its places, otherwise those of an odd size."""
    found = [one for one in patient.operations if one.kind == "factor"]
    if finding.cause in ("Mul", "Div"):
        at = [one for one in found if one.layer in finding.names and one.value != 1.0]
        return tuple(at or [one for one in found if _odd(one)])
    return tuple(one for one in found if _odd(one))


def _odd(one: Operation) -> bool:
    return not 1 / _EXTREME < abs(one.value) < _EXTREME


def weights_at(patient: Patient, finding: Finding) -> frozenset[str]:
    """Parameters that the finding names, itself or by their layer or by the activation behind it."""
    places = set(finding.names)
    places |= {a.producer for a in patient.trace.activations if a.layer in places and finding.rule in UNITS}
    found = [p for p in patient.trace.parameters.values() if p.name in places or (p.layer and p.layer in places)]
    return frozenset(p.name for p in found if p.role in ("weight", "embedding", "padded embedding"))
