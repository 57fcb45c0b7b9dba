"""Another activation between layers, with the initial values that belong to it, as one cure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.edit import edit
from gradcheck_health.check.remedies.operations import activation_name
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.check.remedies.weights import orthogonal, refill, scaled_normal
from gradcheck_health.records.finding import Finding

_SHAPE = "vanishing-gradient", "exploding-gradient", "dead-unit", "saturated-activation"
_HE, _ONE = math.sqrt(2), 1.0
Activation = Callable[[torch.Tensor], torch.Tensor]


def relu_and_he(patient: Patient, finding: Finding) -> Change | None:
    """ReLU for what squashes, with He initialisation."""
    return _exchanged(patient, finding, "relu", F.relu, _HE)


def leaky_relu_and_he(patient: Patient, finding: Finding) -> Change | None:
    """Leaky ReLU (Maas et al. 2013) for what squashes or dies, with He initialisation."""
    return _exchanged(patient, finding, "leaky_relu", F.leaky_relu, math.sqrt(2 / (1 + 0.01**2)))


def prelu_and_he(patient: Patient, finding: Finding) -> Change | None:
    """PReLU (He et al. 2015) as it starts, with a slope of 0.25."""
    return _exchanged(patient, finding, "prelu", lambda x: F.leaky_relu(x, 0.25), math.sqrt(2 / (1 + 0.25**2)))


def elu_and_he(patient: Patient, finding: Finding) -> Change | None:
    """ELU (Clevert et al. 2016), with He initialisation."""
    return _exchanged(patient, finding, "elu", F.elu, _HE)


def gelu_and_he(patient: Patient, finding: Finding) -> Change | None:
    """GELU (Hendrycks and Gimpel 2016), with He initialisation."""
    return _exchanged(patient, finding, "gelu", F.gelu, _HE)


def silu_and_he(patient: Patient, finding: Finding) -> Change | None:
    """SiLU (Elfwing et al. 2018), with He initialisation."""
    return _exchanged(patient, finding, "silu", F.silu, _HE)


def selu_and_lecun(patient: Patient, finding: Finding) -> Change | None:
    """SELU (Klambauer et al. 2017), which normalises itself, with LeCun initialisation."""
    return _exchanged(patient, finding, "selu", F.selu, _ONE)


def tanh_and_he(patient: Patient, finding: Finding) -> Change | None:
    """Tanh for another squashing function, with weights of variance 2 / fan_in."""
    return _exchanged(patient, finding, "tanh", torch.tanh, _HE)


def _exchanged(patient: Patient, finding: Finding, name: str, function: Activation, gain: float) -> Change | None:
    if finding.rule not in _SHAPE or finding.cause in ("softmax", "Softmax", "Mul", "Div"):
        return None
    targets = frozenset(pair for pair in causes.activations(patient, finding) if pair[1] != name)
    if not targets:
        return None
    exchange_activations(patient, targets, function)
    refill(patient, scaled_normal(gain), head=scaled_normal(_ONE))
    init = "nn.init.kaiming_normal_" if gain != _ONE else "nn.init.kaiming_normal_(nonlinearity='linear')"
    old = "/".join(sorted({function for _, function in targets}))
    return changed(f"F.{name} for {old}, and {init}", sorted(layer for layer, _ in targets))


def tanh_and_orthogonal_state(patient: Patient, finding: Finding) -> Change | None:
    """Tanh on the state of a recurrence that is written out, with orthogonal weights."""
    if finding.rule not in (*causes.TIME, *causes.FLOW) or not patient.recurrent:
        return None
    targets = frozenset((one.layer, one.name) for one in patient.hidden_activations() if one.name not in ("tanh",))
    if not targets:
        return None
    exchange_activations(patient, targets, torch.tanh)
    refill(patient, orthogonal())
    return changed("torch.tanh on the state, and nn.init.orthogonal_", sorted(layer for layer, _ in targets))


def exchange_activations(patient: Patient, targets: frozenset[tuple[str, str]], function: Activation) -> None:
    """From now on `function` stands for the activations (layer, name)."""

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        if (layer, activation_name(func, args, kwargs)) not in targets:
            return NotImplemented
        x = args[0] if args else kwargs["input"]
        made = function(x)
        return x.copy_(made) if func.__name__.endswith("_") else made

    edit(patient.model, editor)
