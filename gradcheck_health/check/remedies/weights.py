"""Giving weights new values in place: which axis counts their inputs, and what goes with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.check.remedies.patient import Patient
from gradcheck_health.model.names import NamedParameter, named_parameters

Fill = Callable[[torch.Tensor], None]
"""Fills a matrix whose rows count outputs, in place."""


def named(patient: Patient) -> list[NamedParameter]:
    """The parameters that hold values of their own and are trained."""
    found = named_parameters(patient.model)
    return [one for one in found if one.tensor.requires_grad and not is_lazy(one.tensor) and one.tensor.is_floating_point()]


@torch.no_grad()
def refill(patient: Patient, fill: Fill, only: Collection[str] | None = None, head: Fill | None = None) -> list[str]:
    """New values for the weights, and zeros for the biases beside them; the names of the weights.

    Args:
        fill: of a matrix [outputs, inputs].
        only: these weights; all where None.
        head: the same for the last product, whose output is not followed by an activation.
    """
    turned = {one.weight: one.in_out for one in patient.operations if one.weight}
    entries = named(patient)
    done = []
    for one in entries:
        if one.role != "weight" or (only is not None and one.name not in only):
            continue
        chosen = head if head is not None and one.name == patient.head else fill
        for matrix in matrices(one, turned.get(one.name, False)):
            in_float(chosen, matrix)
        done.append(one.name)
    touched = {name.rpartition(".")[0] for name in done}
    for one in entries:
        if one.role == "bias" and one.layer in touched:
            one.tensor.zero_()
    return done


def matrices(one: NamedParameter, in_out: bool = False) -> Iterator[torch.Tensor]:
    """The matrices [outputs, inputs ...] that a weight consists of: torch's recurrent layers keep their gates in one."""
    tensor = one.tensor.detach()
    gates = GATES.get(one.kind, 1) if one.name.rpartition(".")[2].startswith("weight_") else 1
    if one.name.endswith("in_proj_weight"):
        gates = 3
    for part in tensor.chunk(gates, 0):
        yield part.transpose(0, 1) if in_out and part.dim() >= 2 else part


GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}


def in_float(fill: Fill, matrix: torch.Tensor) -> None:
    """Fill it in float32, contiguous: half precision lacks decompositions that some initialisations need, and views order."""
    wide = torch.empty(matrix.shape, dtype=torch.promote_types(matrix.dtype, torch.float32), device=matrix.device)
    fill(wide)
    matrix.copy_(wide)


def scaled_normal(gain: float) -> Fill:
    """N(0, gain^2 / fan_in)."""

    def fill(matrix: torch.Tensor) -> None:
        matrix.normal_(0.0, gain / math.sqrt(max(matrix[0].numel(), 1)))

    return fill


def orthogonal(gain: float = 1.0) -> Fill:
    return lambda matrix: (nn.init.orthogonal_(matrix, gain), None)[1]


def glorot(matrix: torch.Tensor) -> None:
    nn.init.xavier_normal_(matrix)


def identity(matrix: torch.Tensor) -> None:
    nn.init.eye_(matrix) if matrix.dim() == 2 else nn.init.dirac_(matrix)
