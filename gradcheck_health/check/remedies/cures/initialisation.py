"""Other initial values for the weights: the published rules, of all weights or of those that the finding names."""

from __future__ import annotations

import math

import torch

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.check.remedies.weights import glorot, named, orthogonal, refill, scaled_normal
from gradcheck_health.records.finding import Finding

_HE = "nn.init.kaiming_normal_(weight, nonlinearity='relu')"
_ONE = scaled_normal(1.0)
"""LeCun et al. 1998; also for the last layer, whose output no activation halves."""


def he_init(patient: Patient, finding: Finding) -> Change | None:
    """He et al. 2015: variance 2 / fan_in, for what a ReLU follows."""
    if not causes.of_weights(finding):
        return None
    return changed(
        "nn.init.kaiming_normal_(weight, nonlinearity='relu')", refill(patient, scaled_normal(math.sqrt(2)), head=_ONE)
    )


def he_init_where_named(patient: Patient, finding: Finding) -> Change | None:
    """The same at the finding's places only."""
    only = causes.weights_at(patient, finding)
    if not causes.of_weights(finding) or not only:
        return None
    return changed(_HE, refill(patient, scaled_normal(math.sqrt(2)), only, head=_ONE))


def glorot_init(patient: Patient, finding: Finding) -> Change | None:
    """Glorot and Bengio 2010: variance 2 / (fan_in + fan_out)."""
    if not causes.of_weights(finding):
        return None
    return changed("nn.init.xavier_normal_(weight)", refill(patient, glorot))


def lecun_init(patient: Patient, finding: Finding) -> Change | None:
    """LeCun et al. 1998: variance 1 / fan_in, for linear chains, tanh and SELU."""
    if not causes.of_weights(finding):
        return None
    return changed("nn.init.kaiming_normal_(weight, nonlinearity='linear')", refill(patient, _ONE))


def orthogonal_init(patient: Patient, finding: Finding) -> Change | None:
    """Saxe et al. 2014: orthogonal matrices keep every norm."""
    if not causes.of_weights(finding):
        return None
    return changed("nn.init.orthogonal_(weight)", refill(patient, orthogonal()))


@torch.no_grad()
def small_head(patient: Patient, finding: Finding) -> Change | None:
    """A last layer of small weights, so that the first outputs know nothing instead of something wrong."""
    head = [one for one in named(patient) if one.name == patient.head]
    if finding.rule not in ("high-initial-loss", "saturated-activation") or finding.cause == "targets" or not head:
        return None
    done = refill(patient, scaled_normal(0.1), {patient.head})
    return changed("nn.init.normal_(weight, std=0.1 / fan_in ** 0.5)", done, direct=True)


@torch.no_grad()
def small_embedding(patient: Patient, finding: Finding) -> Change | None:
    """Embeddings of N(0, 0.02^2), as in transformers, instead of torch's N(0, 1)."""
    tables = [one for one in named(patient) if "embedding" in one.role]
    if not causes.of_weights(finding) or not tables:
        return None
    for one in tables:
        one.tensor.normal_(0.0, 0.02)
    return changed("nn.init.normal_(weight, std=0.02)", [one.name for one in tables])


@torch.no_grad()
def embedding_init(patient: Patient, finding: Finding) -> Change | None:
    """Embeddings drawn at random instead of a constant, where a finding names them."""
    only = causes.weights_at(patient, finding)
    tables = [one for one in named(patient) if "embedding" in one.role and one.name in only]
    if finding.rule != "identical-units" or not tables:
        return None
    for one in tables:
        one.tensor.normal_()
    refill(patient, glorot, only)
    return changed("nn.init.normal_(weight)", [one.name for one in tables])
