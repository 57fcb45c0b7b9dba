"""Forward passes on pairs of batches that differ in a part: what moves, and how far.

Everything runs in eval mode under one seed, so that what does not depend on the part that changed comes out the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from gradcheck_health.model.call import call
from gradcheck_health.model.nest import leaves, map_tensors
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.statistics.tensor_stats import plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.inputs import Inputs

ROUNDING = 64
"""Movements below so many units of rounding are none."""


def changed(inputs: Inputs, change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
    """The same arguments with every tensor in them changed."""
    return replace(inputs, args=map_tensors(inputs.args, change), kwargs=map_tensors(dict(inputs.kwargs), change))


def outputs(subject: Subject, inputs: Inputs) -> dict[str, torch.Tensor]:
    """The floating output leaves by their paths. Call it in a sandbox, with the model in eval mode."""
    found = {}
    for leaf in leaves(call(subject.model, inputs, subject.seed)):
        values = plain(leaf.tensor)
        if values is not None:
            found[leaf.path] = values
    return found


@contextlib.contextmanager
def evaluated(subject: Subject) -> Iterator[None]:
    """A sandbox with the model in eval mode."""
    with sandbox(subject.model):
        modes = [(module, module.training) for module in subject.model.modules()]
        try:
            subject.model.eval()
        except AttributeError:  # a class that seals its attributes: the mode stands in its table all the same
            for module in subject.model.modules():
                vars(module)["training"] = False
        try:
            yield
        finally:
            for module, mode in modes:  # a scripted module keeps its mode where the sandbox does not reach
                if module.training != mode:
                    with contextlib.suppress(AttributeError):
                        module.training = mode


def outputs_in_sandbox(subject: Subject, inputs: Inputs) -> dict[str, torch.Tensor]:
    """The outputs of a model that has seen nothing before: states that it carries from call to call are no dependence."""
    with evaluated(subject):
        return outputs(subject, inputs)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """rms of the difference; 0 where it is rounding, NaN where one of them is not finite."""
    if a.shape != b.shape or a.numel() == 0:
        return float("nan")
    wide_a, wide_b = a.double(), b.double()
    apart = float((wide_a - wide_b).square().mean().sqrt())
    largest = max(float(wide_a.abs().max()), float(wide_b.abs().max()))
    return 0.0 if apart <= ROUNDING * torch.finfo(a.dtype).eps * largest else apart


def share(other: float, own: float) -> float:
    """How far the output moves with the other samples, relative to how far it moves with its own sample; at most 1."""
    return 0.0 if other == 0.0 else min(1.0, other / own) if own > 0.0 else 1.0


def nudged(subject: Subject, base: Inputs, other: Inputs, step: float = 0.01) -> dict[str, torch.Tensor]:
    """The outputs a small step from `base` towards `other`, on floating inputs and on embedded tokens.

    A step towards another batch, and no noise: a mean over many entries would average that away.
    """
    embedded: list[torch.Tensor] = []
    with evaluated(subject), _embeddings(lambda output: embedded.append(output.detach().clone())):
        outputs(subject, other)
    towards = iter([leaf.tensor for leaf in leaves((other.args, dict(other.kwargs)))])
    with evaluated(subject), _embeddings(lambda output: _between(output, embedded.pop(0) if embedded else output, step)):
        return outputs(subject, changed(base, lambda tensor: _between(tensor, next(towards, tensor), step)))


def _between(tensor: torch.Tensor, other: torch.Tensor, step: float) -> torch.Tensor:
    if not tensor.is_floating_point() or tensor.shape != other.shape:
        return tensor
    near: torch.Tensor = tensor + max(step, 30 * torch.finfo(tensor.dtype).eps ** 0.5) * (other - tensor)
    return near


@contextlib.contextmanager
def _embeddings(change: Callable[[torch.Tensor], Any]) -> Iterator[None]:
    """What every embedding layer returns goes through `change`; None leaves it as it is."""
    handle = register_module_forward_hook(
        lambda module, args, output: change(output) if isinstance(module, nn.Embedding) else None
    )
    try:
        yield
    finally:
        handle.remove()
