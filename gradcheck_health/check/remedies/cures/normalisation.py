"""A normalisation behind the layers between input and output."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.edit import edit
from gradcheck_health.check.remedies.operations import product
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.model.names import named_parameters
from gradcheck_health.records.finding import Finding

_LEAST = 8
"""Samples below which a batch norm is noise."""
Normalise = Callable[[torch.Tensor, bool], torch.Tensor]
"""(what a layer returned, whether it is a convolution) -> normalised."""


def layer_norm(patient: Patient, finding: Finding) -> Change | None:
    """Ba et al. 2016, behind every hidden layer; over channels and positions behind a convolution."""
    return _behind(patient, finding, "F.layer_norm(h, h.shape[-1:])", _layer_norm, _hidden(patient))


def layer_norm_where_named(patient: Patient, finding: Finding) -> Change | None:
    """The same behind the layers that the finding names."""
    only = _hidden(patient) & causes.weights_at(patient, finding)
    return _behind(patient, finding, "F.layer_norm(h, h.shape[-1:])", _layer_norm, only)


def rms_norm(patient: Patient, finding: Finding) -> Change | None:
    """Zhang and Sennrich 2019, behind every hidden layer."""
    return _behind(patient, finding, "F.rms_norm(h, h.shape[-1:])", _rms_norm, _hidden(patient))


def batch_norm(patient: Patient, finding: Finding) -> Change | None:
    """Ioffe and Szegedy 2015, behind every hidden layer that is used once: over the samples of a batch."""
    if (patient.subject.inputs.batch or 0) < _LEAST or not patient.trace.training or finding.rule in causes.TIME:
        return None
    made = {(one.weight, one.width) for one in patient.operations}  # a tied weight makes another width where it is transposed
    widths = {one.weight: one.width for one in patient.linears if one.weight in _hidden(patient) - patient.recurrent}
    widths = {weight: width for weight, width in widths.items() if not any(w == weight and n != width for w, n in made)}
    entries = [one for one in named_parameters(patient.model) if one.name in widths]
    if not causes.of_signals(finding) or not entries:
        return None
    owners = patient.modules
    norms: dict[int, nn.Module] = {}
    for one in entries:
        norms[id(one.tensor)] = norm = _batch_norm_of(patient, widths[one.name])
        owners[one.layer].add_module(f"norm_of_{one.name.rpartition('.')[2]}", norm)

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        found = product(func, args, kwargs)
        norm = None if found is None else norms.get(id(found.weight))
        if found is None or norm is None:
            return NotImplemented
        h = func(*args, **kwargs)
        return norm(h) if found.convolution or h.dim() == 2 else norm(h.flatten(0, -2)).view_as(h)

    edit(patient.model, editor)
    return changed("nn.BatchNorm behind the product", [one.layer for one in entries], 2 * sum(widths.values()))


class BatchNorm(nn.BatchNorm1d):
    """Of any number of axes, so that one class serves layers and convolutions."""

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002 - torch's name
        pass


def _batch_norm_of(patient: Patient, width: int) -> nn.Module:
    made = BatchNorm(width)
    first = next(patient.model.parameters())
    return made.to(first.device, first.dtype).train(patient.model.training)


def _hidden(patient: Patient) -> frozenset[str]:
    """Weights of more than one unit before the last; normalising one unit leaves nothing of it."""
    return frozenset(one.weight for one in patient.linears if one.weight != patient.head and one.width > 1)


def _behind(patient: Patient, finding: Finding, what: str, norm: Normalise, weights: Collection[str]) -> Change | None:
    if not causes.of_signals(finding) or not weights:
        return None
    ids = {id(one.tensor) for one in named_parameters(patient.model) if one.name in weights}

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        found = product(func, args, kwargs)
        if found is None or id(found.weight) not in ids:
            return NotImplemented
        return norm(func(*args, **kwargs), found.convolution)

    edit(patient.model, editor)
    names = [patient.trace.parameters[name].layer or name for name in weights if name in patient.trace.parameters]
    return changed(f"{what} behind the product", sorted(names))


def _layer_norm(h: torch.Tensor, convolution: bool) -> torch.Tensor:
    return F.group_norm(h, 1) if convolution and h.dim() > 2 else F.layer_norm(h, h.shape[-1:])


def _rms_norm(h: torch.Tensor, convolution: bool) -> torch.Tensor:
    axes = tuple(range(1, h.dim())) if convolution and h.dim() > 2 else (-1,)
    return h * torch.rsqrt(h.square().mean(axes, keepdim=True) + torch.finfo(h.dtype).eps)
