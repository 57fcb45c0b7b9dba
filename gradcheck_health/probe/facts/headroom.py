"""How large and how small activations and gradients are, in float64, where autocast does not reach."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from gradcheck_health.model.call import call
from gradcheck_health.model.names import layer_names
from gradcheck_health.model.nest import leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.default_dtype import use_default_dtype
from gradcheck_health.model.wrappers import own_class, unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.experiments.paired_runs import changed
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.statistics.tensor_stats import plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.evidence import Headroom
from gradcheck_health.records.trace import Trace


def headroom(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `headrooms`: the gradients of parameters and of what layers return, and the largest activation."""
    for dtype in (torch.float64, torch.float32):
        try:
            with sandbox(subject.model):
                return (trace.only(headrooms=(_measured(subject, dtype),)),)
        except (ModelError, RuntimeError):
            continue  # a cast inside that the wider type does not go with
    return ()


def _measured(subject: Subject, dtype: torch.dtype) -> Headroom:
    use_default_dtype(dtype)
    model = unwrap(subject.model)
    subject.model.to(dtype)
    inputs = changed(subject.inputs, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)
    names, counts = layer_names(model), Counter[int]()
    largest = (0.0, "", "")

    def count(gradient: torch.Tensor) -> None:
        values = plain(gradient)
        if values is not None:
            mantissas, exponents = torch.frexp(values[values != 0])
            exponents = exponents - (mantissas.abs() == 0.5).int()
            counts.update(dict(zip(*(part.tolist() for part in torch.unique(exponents, return_counts=True)), strict=True)))

    def watch(module: nn.Module, args: Any, output: Any) -> None:
        nonlocal largest
        for leaf in leaves(output):
            values = plain(leaf.tensor)
            if values is not None and values.numel():
                largest = max(largest, (float(values.abs().max()), names.get(id(module), ""), own_class(module).__name__))
            if leaf.differentiable and leaf.tensor.grad_fn is not None and not list(module.children()):
                leaf.tensor.register_hook(count)  # type: ignore[no-untyped-call]

    handle = register_module_forward_hook(watch)
    try:
        output = call(subject.model, inputs, subject.seed)
    finally:
        handle.remove()
    backward(objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed), model)
    for parameter in model.parameters():
        if parameter.grad is not None:
            count(parameter.grad)
    return dataclasses.replace(Headroom((), *largest), exponents=tuple(sorted(counts.items())))
