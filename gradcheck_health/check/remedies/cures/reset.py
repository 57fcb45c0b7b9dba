"""What the constructor of torch would have done: `reset_parameters`, and running statistics anew."""

from __future__ import annotations

import torch
from torch import nn

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.model.names import layer_names
from gradcheck_health.records.finding import Finding


def reset_parameters(patient: Patient, finding: Finding) -> Change | None:
    """The default initial values of every layer of torch."""
    if not causes.of_weights(finding):
        return None
    return changed("module.reset_parameters()", _reset(patient, None))


def reset_where_named(patient: Patient, finding: Finding) -> Change | None:
    """The default initial values of the layers that the finding names, also where they hold NaN."""
    if not causes.of_weights(finding) and finding.cause != "weights":
        return None
    layers = {patient.trace.parameters[name].layer for name in finding.names if name in patient.trace.parameters}
    layers |= {patient.trace.parameters[name].layer for name in causes.weights_at(patient, finding)}
    return changed("module.reset_parameters()", _reset(patient, layers)) if layers else None


def reset_statistics(patient: Patient, finding: Finding) -> Change | None:
    """Running mean 0 and variance 1 for the normalisations whose statistics are at fault."""
    if finding.rule != "nonfinite-gradient" or "batch_norm" not in finding.cause:
        return None
    names = layer_names(patient.model)
    broken = [
        module
        for module in patient.model.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_var is not None and _broken(module.running_var)
    ]
    for module in broken:
        module.reset_running_stats()
    return changed("module.reset_running_stats()", [names[id(module)] for module in broken], direct=True)


def _broken(variance: torch.Tensor) -> bool:
    return not bool((variance >= 0).all() & variance.isfinite().all())


def _reset(patient: Patient, layers: set[str] | None) -> list[str]:
    names = layer_names(patient.model)
    done = []
    for module in patient.model.modules():
        name, reset = names[id(module)], getattr(module, "reset_parameters", None)
        if callable(reset) and (layers is None or name in layers) and not isinstance(module, torch.jit.ScriptModule):
            reset()
            done.append(name)
    return done
