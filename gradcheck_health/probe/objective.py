"""The objective: the gradients that backward starts from, for a loss or a random projection of any output.

Without a loss the objective is a random projection, L = sum over samples and leaves of <y, r> / sqrt(elements of y per sample),
r ~ N(0, 1). A sum or a mean would not do: a softmax or a normalised head is blind to them (a softmax head's rows sum to one
whatever the weights are). The projection is never computed: r is handed to backward as the gradient of the output leaves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.model.nest import OutputTensor, leaves
from gradcheck_health.probe.loss_arguments import explain
from gradcheck_health.records.errors import ModelError, UsageError, describe_error
from gradcheck_health.records.wording import a_kind

AUXILIARY = re.compile("past_key_values|hidden_states|attentions|encoder_last_hidden_state|cache|mems")
"""Outputs of transformers that no loss is computed from: probed only to see what can be reached at all."""


@dataclass(frozen=True, slots=True)
class Objective:
    """Where backward starts: tensors, the gradient of each, and how it is called."""

    roots: tuple[torch.Tensor, ...]
    gradients: tuple[torch.Tensor, ...]
    kind: str
    value: float | None = None
    """The loss, if there is one."""
    end: Any = None
    """What the roots are leaves of, also those that carry no gradient: the output, or the loss."""


def objective(
    output: Any, *, loss: Callable[[Any], torch.Tensor] | None, batch: int | None, seed: int, every: bool = False
) -> Objective:
    """Where backward starts for what forward returned.

    Args:
        loss: from the output to a scalar, or None: then a model that returns its own loss is taken at its word, and anything
            else is projected.
        batch: size of the batch axis, for the scale per sample.
        seed: of the projection.
        every: project all leaves, beside a loss of the model's own too (to see which parameters can be reached at all).

    Raises:
        UsageError: the loss is not a scalar.
        ModelError: the output holds no tensor at all.
    """
    if loss is not None:
        try:
            with torch.inference_mode(False), torch.enable_grad(), jointly("the loss"):  # whatever surrounds the check
                value = loss(output)
        except Exception as error:
            because = explain(error)
            raise ModelError(f"loss= raised {describe_error(error)}" + (because and f"\n  {because}")) from error
        return _given(value)
    found = list(leaves(output))
    if not found:
        raise ModelError(f"forward returned {a_kind(output)} that holds no tensor: return what the loss is computed from")
    differentiable = _unique(leaf for leaf in found if leaf.differentiable)
    if not every:  # a cache that a block hands out would be a way round everything behind that block
        differentiable = [leaf for leaf in differentiable if not AUXILIARY.search(leaf.path)] or differentiable
    if not differentiable:  # the whole graph is cut off: backward has nothing to do, and the rules will say why
        return Objective((), (), "random projection", end=output)
    if not any(leaf.tensor.is_nested or leaf.tensor.numel() for leaf in differentiable):
        shapes = ", ".join(str(list(leaf.tensor.shape)) for leaf in differentiable)
        raise ModelError(f"the output is empty, of shape {shapes}: nothing of these inputs is left; give larger ones")
    own = own_loss(differentiable)
    if own is not None and not every:
        return Objective(
            (own.tensor,), (torch.ones_like(own.tensor),), "the model's own loss", float(own.tensor.detach()), output
        )
    generator = torch.Generator().manual_seed(seed)
    gradients = tuple(_projection(leaf.tensor, batch, generator) for leaf in differentiable)
    return Objective(tuple(leaf.tensor for leaf in differentiable), gradients, "random projection", end=output)


def own_loss(differentiable: list[OutputTensor]) -> OutputTensor | None:
    """The loss among the outputs: a leaf called loss, or the only leaf if it is a scalar."""
    for leaf in differentiable:
        name = leaf.path.rpartition(".")[2].strip("[]'\"")
        if leaf.tensor.numel() == 1 and leaf.tensor.dim() == 0 and name == "loss" and leaf.tensor.is_floating_point():
            return leaf
    only = differentiable[0]
    return only if len(differentiable) == 1 and only.tensor.dim() == 0 and only.tensor.is_floating_point() else None


def _given(value: Any) -> Objective:
    if value is None:
        raise UsageError(
            "loss= returned None: does forward compute the loss only where it is given targets? Give them with the inputs,"
            ' as in inputs={"x": x, "targets": y}, or compute the loss from its output, loss=lambda out: criterion(out, y)'
        )
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        got = f"a tensor of shape {list(value.shape)}" if isinstance(value, torch.Tensor) else a_kind(value)
        raise UsageError(
            f"loss= must return a scalar tensor, got {got}: reduce it, e.g. loss=lambda out: criterion(out, target).mean()"
        )
    number = float(value.detach())
    if not value.requires_grad:  # the rules will say what cuts it off
        return Objective((), (), "the given loss", number, value)
    return Objective((value,), (torch.ones_like(value),), "the given loss", number, value)


def _unique(found: Iterable[OutputTensor]) -> list[OutputTensor]:
    return list({id(leaf.tensor): leaf for leaf in found}.values())


def _projection(y: torch.Tensor, batch: int | None, generator: torch.Generator) -> torch.Tensor:
    if y.is_nested:
        return _nested_projection(y, batch, generator)
    per_sample = y.numel() / batch if batch and y.dim() and y.shape[0] == batch else y.numel()
    # drawn in float32 on the CPU whatever the output is: the float64 and the half pass must ask the same question
    r = torch.randn((*y.shape, 2) if y.is_complex() else y.shape, generator=generator, dtype=torch.float32, device="cpu")
    r = (torch.view_as_complex(r) if y.is_complex() else r).to(y.device, y.dtype)
    return r / math.sqrt(max(per_sample, 1.0))


def _nested_projection(y: torch.Tensor, batch: int | None, generator: torch.Generator) -> torch.Tensor:
    """Of samples of several lengths, over all of their entries."""
    if y.layout is not torch.jagged:
        raise UsageError(
            "forward returned a nested tensor in the strided layout, which has no shape that a projection could have: "
            "give loss=, or make it with layout=torch.jagged"
        )
    values = y.values()
    r = torch.randn(values.shape, generator=generator, dtype=torch.float32, device="cpu").to(values.device, values.dtype)
    r = r / math.sqrt(max(values.numel() / (batch or y.shape[0]), 1.0))
    return torch.nested.nested_tensor_from_jagged(r, y.offsets())  # type: ignore[attr-defined]
