"""One row a parameter of the model, whichever optimizer stepped it, or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from gradcheck_health.model.names import NamedParameter
from gradcheck_health.probe.training import measure
from gradcheck_health.probe.training.observer import keys
from gradcheck_health.records.step import ParameterStep


def rows(
    named: Sequence[NamedParameter],
    optimizers: Sequence[torch.optim.Optimizer],
    seen: Sequence[tuple[torch.optim.Optimizer, tuple[ParameterStep, ...]]],
) -> tuple[ParameterStep, ...]:
    """Every parameter of the model in its order, with what happened to it; then what only the optimizers hold."""
    known: dict[str, ParameterStep] = {}
    first: dict[int, int] = {}
    group_of: dict[Any, int] = {}
    count = 0
    for optimizer in optimizers:
        first[id(optimizer)] = count
        for group in optimizer.param_groups:
            group_of.update({key: count for p in group["params"] for key in keys(p)})
            count += 1
    for optimizer, found in seen:
        for row in found:
            if row.name not in known:
                known[row.name] = dataclasses.replace(row, group=first[id(optimizer)] + (row.group or 0))
    ordered: dict[str, ParameterStep] = {}
    for entry in named:
        place = next((group_of[key] for key in keys(entry.tensor) if key in group_of), None)
        ordered[entry.name] = known.pop(entry.name) if entry.name in known else _not_stepped(entry, place)
    return (*ordered.values(), *known.values())


def _not_stepped(entry: NamedParameter, group: int | None) -> ParameterStep:
    """A parameter that no optimizer took a step with: left out, or skipped by the scaler."""
    gradient = entry.tensor.grad
    weight, *size = measure.norms([entry.tensor, *([] if gradient is None else [gradient])])
    return ParameterStep(
        name=entry.name,
        role=entry.role,
        dtype=str(entry.tensor.dtype).removeprefix("torch."),
        entries=entry.tensor.numel(),
        weight=weight,
        gradient=size[0] if size else None,
        update=0.0,
        pushed=0,
        moved=0,
        group=group,
    )
