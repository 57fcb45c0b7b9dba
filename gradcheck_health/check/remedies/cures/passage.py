"""A gradient where none arrives: past a function that has none, into a tensor that nobody registered; or none on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gradcheck_health.check.remedies.edit import edit
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.model.names import named_parameters
from gradcheck_health.records.finding import Finding

_STEPS: Mapping[Any, Callable[..., torch.Tensor]] = {
    getattr(owner, name): getattr(torch, name)
    for owner in (torch, torch.Tensor)
    for name in ("round", "floor", "ceil", "sign", "trunc")
}


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
    """`detach` left out where the finding names it."""
    cuts = [cut for cut in patient.trace.closest.cuts if cut.op == "detach"]
    if finding.rule != "cut-gradient" or not cuts:
        return None
    layers = {cut.layer for cut in cuts}

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        return args[0] if func is torch.Tensor.detach and layer in layers else NotImplemented

    mode = edit(patient.model, editor)
    return changed("without .detach()", sorted(layers), mode=mode, direct=True)


def register(patient: Patient, finding: Finding) -> Change | None:
    """A trainable tensor, or a module, that an attribute or a list holds becomes a part of the model."""
    if finding.rule != "unregistered-parameter":
        return None
    done, added = [], 0
    for path, module in list(patient.model.named_modules()):
        for name, value in list(vars(module).items()):
            where = f"{path}.{name}".lstrip(".")
            if name.startswith("_") or where not in {one.partition("[")[0] for one in _reaches(finding)}:
                continue
            if isinstance(value, list | tuple) and value and all(isinstance(one, nn.Module) for one in value):
                delattr(module, name)
                module.add_module(name, nn.ModuleList(value))
            elif isinstance(value, dict) and value and all(isinstance(one, nn.Module) for one in value.values()):
                delattr(module, name)
                module.add_module(name, nn.ModuleDict({str(key): one for key, one in value.items()}))
            elif isinstance(value, torch.Tensor) and value.is_leaf and value.requires_grad:
                delattr(module, name)
                module.register_parameter(name, nn.Parameter(value.detach()))
            else:
                continue
            done.append(where)
    return changed("nn.ModuleList, nn.ModuleDict or nn.Parameter", done, added, direct=True)


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
