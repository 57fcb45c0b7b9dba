"""A way round the layers: what goes into a layer is added to what comes out of the activation behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.edit import edit
from gradcheck_health.check.remedies.operations import activation_name, product
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.model.names import named_parameters
from gradcheck_health.records.finding import Finding

Join = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""(input of a layer, result of its branch, number of the layer) -> their sum."""
_ENTERED = "_gradhealth_entered"


def residual(patient: Patient, finding: Finding) -> Change | None:
    """He et al. 2016: x + f(x)."""
    return _round(patient, finding, "x + f(x)", lambda x, y, i: x + y)


def residual_scaled(patient: Patient, finding: Finding) -> Change | None:
    """Branches over the root of the depth, so that the sum does not grow."""
    count = max(len(_squares(patient)), 1)
    return _round(patient, finding, f"x + f(x) / {count} ** 0.5", lambda x, y, i: x + y / count**0.5)


def residual_prenorm(patient: Patient, finding: Finding) -> Change | None:
    """Xiong et al. 2020: x + f(norm(x))."""
    return _round(patient, finding, "x + f(F.layer_norm(x, x.shape[-1:]))", lambda x, y, i: x + y, before=True)


def rezero(patient: Patient, finding: Finding) -> Change | None:
    """Bachlechner et al. 2021: x + a f(x), with a = 0 at first."""
    squares = _squares(patient)
    if finding.rule not in causes.FLOW or len(squares) < 2:
        return None
    owners = patient.modules
    scales: list[nn.Parameter] = []
    for one in squares:
        weight = patient.trace.parameters[one]
        scale = nn.Parameter(
            torch.zeros((), dtype=getattr(torch, weight.dtype), device=next(patient.model.parameters()).device)
        )
        owners[weight.layer].register_parameter(f"scale_of_{weight.name.rpartition('.')[2]}", scale)
        scales.append(scale)
    return _round(
        patient, finding, "x + a * f(x), a = nn.Parameter(torch.zeros(()))", lambda x, y, i: x + scales[i] * y, len(scales)
    )


def branches_over_root_depth(patient: Patient, finding: Finding) -> Change | None:
    """Residual branches that are there already, divided by the root of their number."""
    if finding.rule != "exploding-gradient" or finding.cause != "Add":
        return None
    count = max(sum(point.op == "Add" for point in patient.trace.flow), 1)
    add = {torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.__radd__}
    places = set(finding.names)

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        if func not in add or layer not in places or len(args) != 2 or not all(isinstance(x, torch.Tensor) for x in args):
            return NotImplemented
        if args[0].shape != args[1].shape:
            return NotImplemented
        x, branch = (args[0], args[1]) if _later(args[1], args[0]) else (args[1], args[0])
        return x + branch / count**0.5

    edit(patient.model, editor)
    return changed(f"x + branch(x) / {count} ** 0.5", finding.names)


def _later(a: torch.Tensor, b: torch.Tensor) -> bool:
    """`a` was computed behind `b`: the branch was, and what it is added to was not."""
    first, second = (getattr(x.grad_fn, "_sequence_nr", lambda: -1)() for x in (a, b))
    return bool(first > second)


def _squares(patient: Patient) -> list[str]:
    """Hidden weights that keep the shape of what goes through them, and are used once."""
    found = []
    for one in patient.linears:
        p = patient.trace.parameters.get(one.weight)
        if (
            p is not None
            and one.weight not in {patient.head} | patient.recurrent
            and len(p.shape) > 1
            and p.shape[0] == p.shape[1]
        ):
            found.append(one.weight)
    return found


def _round(patient: Patient, finding: Finding, what: str, join: Join, added: int = 0, *, before: bool = False) -> Change | None:
    squares = _squares(patient)
    if finding.rule not in causes.FLOW or len(squares) < 2 or finding.cause == "Add":
        return None
    activated = {one.layer for one in patient.hidden_activations()}
    positions = {id(one.tensor): squares.index(one.name) for one in named_parameters(patient.model) if one.name in squares}

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        found = product(func, args, kwargs)
        if found is not None:
            return _enter(func, args, kwargs, found, positions.get(id(found.weight)))
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        entered = getattr(first, _ENTERED, None)
        if entered is None:
            return NotImplemented
        out = func(*args, **kwargs)
        if not isinstance(out, torch.Tensor) or out.shape != entered[0].shape:
            return out
        if activation_name(func, args, kwargs):
            return join(entered[0], out, entered[1])
        if getattr(func, "__name__", "") in _KEEPING:
            setattr(out, _ENTERED, entered)
        return out

    def _enter(func: Any, args: Any, kwargs: Any, found: Any, position: int | None) -> Any:
        if position is None:
            return NotImplemented
        x = found.input
        if before:
            normed = F.group_norm(x, 1) if found.convolution and x.dim() > 2 else F.layer_norm(x, x.shape[-1:])
            args = tuple(normed if one is x else one for one in args)
        out = func(*args, **kwargs)
        if out.shape != x.shape:
            return out
        if not activated:
            return join(x, out, position)
        setattr(out, _ENTERED, (x, position))
        return out

    edit(patient.model, editor)
    return changed(f"{what} round each layer", [patient.trace.parameters[name].layer for name in squares], added)


_KEEPING = ("layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm", "dropout", "add", "__add__")
