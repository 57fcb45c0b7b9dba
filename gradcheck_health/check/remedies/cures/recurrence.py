"""What lets a recurrence remember: another cell, open gates, a recurrent matrix that keeps the norm, a slower state."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.edit import edit
from gradcheck_health.check.remedies.operations import activation_name, product
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.check.remedies.weights import Fill, glorot, identity, in_float, matrices, named, orthogonal
from gradcheck_health.model.names import layer_names, named_parameters
from gradcheck_health.records.finding import Finding

_RULES = (*causes.TIME, *causes.FLOW)
_ENTERED = "_gradhealth_state"
_SLOW = 0.1
"""Of the new state, in a leaky one."""


def lstm_for_rnn(patient: Patient, finding: Finding) -> Change | None:
    """Hochreiter and Schmidhuber 1997, with a forget bias of 1."""
    return _exchanged(patient, finding, nn.LSTM)


def gru_for_rnn(patient: Patient, finding: Finding) -> Change | None:
    """Cho et al. 2014."""
    return _exchanged(patient, finding, nn.GRU)


@torch.no_grad()
def forget_bias(patient: Patient, finding: Finding) -> Change | None:
    """Jozefowicz et al. 2015: gates that keep the state start open, by a bias of 1."""
    return _biased(patient, finding, _ones, "1")


@torch.no_grad()
def chrono_bias(patient: Patient, finding: Finding) -> Change | None:
    """Tallec and Ollivier 2018: biases of log(uniform(1, T)), for memories of every length up to T."""
    steps = max(
        (len(profile.norms) for seen in patient.trace.facts.get("time_profile", ()) for profile in seen.times), default=40
    )

    def fill(bias: torch.Tensor) -> None:
        bias.copy_(torch.log(1.0 + (steps - 1) * torch.rand(bias.shape)))

    return _biased(patient, finding, fill, f"torch.log(uniform(1, {steps}))")


@torch.no_grad()
def orthogonal_recurrent(patient: Patient, finding: Finding) -> Change | None:
    """Recurrent matrices that keep every norm; Glorot's values for the others of the recurrence."""
    return _recurrent(patient, finding, orthogonal(), "nn.init.orthogonal_(recurrent weight)")


@torch.no_grad()
def identity_recurrent(patient: Patient, finding: Finding) -> Change | None:
    """Le et al. 2015: the identity, so that the state stays as it is."""
    return _recurrent(patient, finding, identity, "nn.init.eye_(recurrent weight)")


def norm_on_state(patient: Patient, finding: Finding) -> Change | None:
    """A layer norm on what the recurrent matrix makes of the state."""
    ids = {id(one.tensor) for one in named_parameters(patient.model) if one.name in patient.recurrent}
    if finding.rule not in _RULES or not ids:
        return None

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        found = product(func, args, kwargs)
        if found is None or id(found.weight) not in ids:
            return NotImplemented
        out = func(*args, **kwargs)
        return torch.nn.functional.layer_norm(out, out.shape[-1:])

    edit(patient.model, editor)
    return changed("F.layer_norm on the product of the state", sorted(patient.recurrent))


def leaky_state(patient: Patient, finding: Finding) -> Change | None:
    """h + 0.1 (f(h) - h): a state that moves slowly."""
    ids = {id(one.tensor) for one in named_parameters(patient.model) if one.name in patient.recurrent}
    if finding.rule not in _RULES or not ids:
        return None

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        found = product(func, args, kwargs)
        if found is not None:
            out = func(*args, **kwargs)
            if id(found.weight) in ids and out.shape == found.input.shape:
                setattr(out, _ENTERED, found.input)
            return out
        states = [state for x in args if (state := getattr(x, _ENTERED, None)) is not None]
        if not states:
            return NotImplemented
        out = func(*args, **kwargs)
        if not isinstance(out, torch.Tensor) or out.shape != states[0].shape:
            return out
        if activation_name(func, args, kwargs):
            return states[0] + _SLOW * (out - states[0])
        setattr(out, _ENTERED, states[0])
        return out

    edit(patient.model, editor)
    return changed("h = h + 0.1 * (f(h) - h)", sorted(patient.recurrent))


def _exchanged(patient: Patient, finding: Finding, cell: type[nn.LSTM] | type[nn.GRU]) -> Change | None:
    if finding.rule not in _RULES:
        return None
    done, added = [], 0
    for path, module in list(patient.model.named_modules()):
        if type(module).__name__ != "RNN" or not path or not isinstance(module, nn.RNNBase):
            continue
        first = next(module.parameters())
        made = cell(
            module.input_size, module.hidden_size, module.num_layers, module.bias, module.batch_first, module.dropout,
            module.bidirectional,
        ).to(first.device, first.dtype).train(module.training)  # fmt: skip
        _keep_state(made)
        parent = patient.model.get_submodule(path.rpartition(".")[0])
        setattr(parent, path.rpartition(".")[2], made)
        added += sum(p.numel() for p in made.parameters()) - sum(p.numel() for p in module.parameters())
        done.append(path)
    return changed(f"nn.{cell.__name__} for nn.RNN", done, added)


def _keep_state(made: nn.RNNBase) -> None:
    """An LSTM that starts with a forget bias of one."""
    with torch.no_grad():
        for name, bias in made.named_parameters():
            if isinstance(made, nn.LSTM) and name.startswith("bias_hh"):
                bias.chunk(4)[1].fill_(1.0)


_KEEPS = {"LSTM": (4, 1), "LSTMCell": (4, 1), "GRU": (3, 1), "GRUCell": (3, 1)}
"""Class -> number of gates, and which of them keeps the state: forget, update."""


def _ones(bias: torch.Tensor) -> None:
    bias.fill_(1.0)


def _biased(patient: Patient, finding: Finding, fill: Fill, what: str) -> Change | None:
    if finding.rule not in _RULES:
        return None
    names = layer_names(patient.model)
    done = []
    for module in patient.model.modules():
        kind = type(module).__name__
        if kind not in _KEEPS:
            continue
        count, keeping = _KEEPS[kind]
        for name, bias in module._parameters.items():
            if bias is not None and name.startswith("bias_"):
                part = bias.detach().chunk(count)[keeping]
                fill(part) if name.startswith("bias_hh") else part.zero_()
                done.append(names[id(module)])
        for name, weight in module._parameters.items():
            if weight is not None and name.startswith("weight_hh"):
                bound = 1 / math.sqrt(weight.shape[1])
                weight.detach().uniform_(-bound, bound)
    return changed(f"the bias of the gate that keeps the state = {what}, recurrent weights as torch starts them", done)


def _recurrent(patient: Patient, finding: Finding, fill: Fill, what: str) -> Change | None:
    if finding.rule not in _RULES:
        return None
    turned = {one.weight: one.in_out for one in patient.operations if one.weight}
    done = []
    for one in named(patient):
        fused = one.name.rpartition(".")[2].startswith("weight_hh")
        if one.role != "weight" or not (fused or one.name in patient.recurrent):
            continue
        for matrix in matrices(one, turned.get(one.name, False)):
            in_float(fill if matrix.shape[0] == matrix.shape[1] else glorot, matrix)
        done.append(one.name)
    return changed(what, done)
