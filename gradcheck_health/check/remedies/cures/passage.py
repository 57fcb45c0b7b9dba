"""A gradient where none arrives: past a function that has none, into a tensor that nobody registered; or none on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gradcheck_health.check.remedies.edit import edit
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.model.call import call
from gradcheck_health.model.names import named_parameters, registered
from gradcheck_health.model.nest import operand_tensors
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.probe.forward.draws import with_gradient
from gradcheck_health.records.finding import Finding

_STEPS: Mapping[Any, Callable[..., torch.Tensor]] = {
    getattr(owner, name): getattr(torch, name)
    for owner in (torch, torch.Tensor)
    for name in ("round", "floor", "ceil", "sign", "trunc")
}


_AGAIN = (torch.Tensor.requires_grad_, torch.Tensor.requires_grad.__set__)  # type: ignore[attr-defined]
"""What makes a leaf of a detached tensor."""


def straight_through(patient: Patient, finding: Finding) -> Change | None:
    """Bengio et al. 2013: a step function forward, the identity backward."""
    if finding.rule not in ("cut-gradient", "zero-gradient"):
        return None
    places = set(finding.names)
    done: dict[str, None] = {}

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        if func not in _STEPS or not isinstance(args[0], torch.Tensor) or not args[0].requires_grad:
            return NotImplemented
        x = args[0]
        return x + (func(*args, **kwargs) - x).detach()

    operations = {cut.op for cut in patient.trace.closest.cuts} | {one.op for one in patient.trace.closest.zeroed}
    if not operations & {function.__name__ for function in _STEPS}:
        return None
    done.update(dict.fromkeys(places))
    mode = edit(patient.model, editor)
    return changed("x + (step(x) - x).detach()", list(done), mode=mode, direct=True)


def uncut(patient: Patient, finding: Finding) -> Change | None:
    """`detach` left out where the finding names it, or where it makes a leaf of what a layer returned."""
    seen = patient.trace.facts.get("foreign_leaves", ()) if finding.rule == "unregistered-parameter" else ()
    layers = {leaf.name for one in seen for leaf in one.foreign if leaf.behind}
    if finding.rule == "cut-gradient":
        layers = {cut.layer for cut in patient.trace.closest.cuts if cut.op == "detach"}
    if not layers:
        return None

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        again = func in _AGAIN and not args[0].is_leaf  # which torch allows of leaves only
        return args[0] if layer in layers and (func is torch.Tensor.detach or again) else NotImplemented

    mode = edit(patient.model, editor)
    return changed("without .detach()", sorted(layers), mode=mode, direct=True)


def rsample(patient: Patient, finding: Finding) -> Change | None:
    """Kingma and Welling 2014: the finding's draw by `rsample` instead of `sample`, or as mean + std * noise."""
    if finding.rule != "cut-gradient":
        return None
    lines = {draw.source: draw.layer for seen in patient.trace.facts.get("reparametrised", ()) for draw in seen.draws}
    cuts = [cut for cut in patient.trace.closest.cuts if cut.op == "normal" or cut.op.endswith(".sample")]
    lines.update({cut.source: cut.layer for cut in cuts})

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        drawing = func is torch.normal or func is torch._C._set_grad_enabled
        return with_gradient(func, args, kwargs) if drawing and user_line() in lines else NotImplemented

    mode = edit(patient.model, editor) if lines else None
    return changed("rsample(), or mean + std * torch.randn_like(mean)", list(lines.values()), mode=mode, direct=True)


def register(patient: Patient, finding: Finding) -> Change | None:
    """A trainable tensor, or a module, that an attribute, a list or anything else holds becomes a part of the model."""
    if finding.rule != "unregistered-parameter":
        return None
    done = []
    for path, module in list(patient.model.named_modules()):
        for name, value in list(vars(module).items()):
            where = f"{path}.{name}".lstrip(".")
            if name.startswith("_") or where not in {one.partition("[")[0] for one in _reaches(finding)}:
                continue
            if (made := _registered(value)) is None:
                continue
            delattr(module, name)
            setattr(module, name, made)
            done.append(where)
    change = changed("nn.ModuleList, nn.ModuleDict, nn.ParameterList or nn.Parameter", done, direct=True)
    return change or _adopted(patient)


def _registered(value: Any) -> nn.Module | nn.Parameter | None:
    """What an attribute should have been, for torch to find what it holds."""
    members = list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list | tuple) else []
    if members and all(isinstance(one, nn.Module) for one in members):
        return (
            nn.ModuleDict({str(key): one for key, one in value.items()}) if isinstance(value, dict) else nn.ModuleList(members)
        )
    if members and all(isinstance(one, torch.Tensor) and one.is_leaf for one in members):
        if isinstance(value, dict):
            return nn.ParameterDict({str(key): one.detach() for key, one in value.items()})
        return nn.ParameterList([one.detach() for one in members])
    if isinstance(value, torch.Tensor) and value.is_leaf and value.requires_grad:
        return nn.Parameter(value.detach())
    return None


def _adopted(patient: Patient) -> Change | None:
    """Parameters that forward takes from anywhere else, the same in two passes, as attributes of the model."""
    known = registered(patient.model)
    found = [_taken(patient), _taken(patient)]
    kept = [one for key, one in found[0].items() if key in found[1] and key not in known]
    for i, one in enumerate(kept):
        patient.model.register_parameter(f"adopted_{i}", one)
    return changed("made an attribute of the model: a submodule or an nn.Parameter", ["forward"] if kept else [], direct=True)


def _taken(patient: Patient) -> dict[int, nn.Parameter]:
    """id -> trainable parameter that a call of forward has among its operands."""
    with (seen := _Operands()):
        call(patient.model, patient.subject.inputs, patient.subject.seed)
    return seen.parameters


class _Operands(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.parameters: dict[int, nn.Parameter] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for one in operand_tensors((args, kwargs or {})):
            if isinstance(one, nn.Parameter) and one.requires_grad:
                self.parameters[id(one)] = one
        return func(*args, **(kwargs or {}))


def _reaches(finding: Finding) -> set[str]:
    """Every beginning of the names that the finding has."""
    found = set()
    for name in finding.names:
        parts = name.split(".")
        found |= {".".join(parts[: end + 1]) for end in range(len(parts))}
    return found


def freeze(patient: Patient, finding: Finding) -> Change | None:
    """`requires_grad_(False)` for parameters that no gradient will ever reach."""
    if finding.rule not in ("missing-gradient", "cut-gradient", "zero-gradient"):
        return None
    lost = {name for name, p in patient.trace.parameters.items() if p.trainable and (p.gradient is None or p.gradient.is_zero)}
    entries = [one for one in named_parameters(patient.model) if one.name in lost]
    if not entries or len(lost) == sum(p.trainable for p in patient.trace.parameters.values()):
        return None
    for one in entries:
        one.tensor.requires_grad_(False)
    change = changed("requires_grad_(False), if it is not to be trained", [one.name for one in entries])
    return None if change is None else dataclasses.replace(change, last_resort=True)
