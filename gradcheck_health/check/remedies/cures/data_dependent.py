"""Initial values that are fitted to a batch: every layer returns variance one."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradcheck_health.check.remedies import causes
from gradcheck_health.check.remedies.operations import product
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.check.remedies.weights import Fill, glorot, in_float, orthogonal, refill
from gradcheck_health.model.call import call
from gradcheck_health.model.names import named_parameters
from gradcheck_health.records.finding import Finding

_TINY = 1e-12


def lsuv(patient: Patient, finding: Finding) -> Change | None:
    """Mishkin and Matas 2016: orthogonal weights, each scaled so that what its layer returns has variance one."""
    if not causes.of_weights(finding):
        return None
    filled = refill(patient, glorot)  # of what forward never multiplies by itself: fused layers
    fitted = _fit(patient, orthogonal())
    rest = [name for name in filled if name not in fitted]
    beside = ", nn.init.xavier_normal_ for what is inside of fused layers" if rest else ""
    what = f"LSUV: orthogonal weights, each divided by the std of its layer's output on one batch{beside}"
    return changed(what, [*fitted, *rest] if fitted else [])


def lsuv_scale(patient: Patient, finding: Finding) -> Change | None:
    """The same for the weights as they are: only their scale is fitted."""
    if not causes.of_weights(finding) or finding.rule == "identical-units":
        return None
    return changed("each weight divided by the std of its layer's output on one batch", _fit(patient, None))


def _fit(patient: Patient, fill: Fill | None) -> list[str]:
    """The names of the weights, in the order of their first use, which is the order in which they are scaled."""
    entries = {id(one.tensor): one for one in named_parameters(patient.model) if one.tensor.requires_grad}
    fit = _Fit({key: one.name for key, one in entries.items() if one.tensor.is_floating_point()}, fill)
    with fit:
        call(patient.model, patient.subject.inputs, patient.subject.seed)
    return fit.done


class _Fit(TorchFunctionMode):
    def __init__(self, names: dict[int, str], fill: Fill | None) -> None:
        super().__init__()
        self._names, self._fill = names, fill
        self.done: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = product(func, args, kwargs)
        name = "" if found is None else self._names.get(id(found.weight), "")
        if found is not None and name and name not in self.done:
            self.done.append(name)
            matrix = found.weight.detach()
            if self._fill is not None:
                in_float(self._fill, matrix.transpose(0, 1) if found.in_out else matrix)
                bias = args[2] if len(args) > 2 else kwargs.get("bias")
                if isinstance(bias, torch.Tensor):
                    bias.detach().zero_()
            spread = float(func(*args, **kwargs).detach().float().std(correction=0))
            if _TINY < spread < 1 / _TINY:
                matrix.div_(spread)
        return func(*args, **kwargs)
