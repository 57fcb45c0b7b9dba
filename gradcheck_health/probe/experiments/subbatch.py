"""Where the samples of a batch lie, and other batches out of the same samples."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import TypeVar

import torch

from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.experiments.paired_runs import changed
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.inputs import Inputs

STEPS = 5
_Seen = TypeVar("_Seen")


def axis_of(tensor: torch.Tensor, batch: int, declared: int | None = None) -> int | None:
    """The axis along which a tensor holds `batch` samples: the declared one, the first, or the second (hidden states)."""
    candidates = (*(() if declared is None else (declared,)), 0, 1)
    fits = (axis for axis in candidates if -tensor.dim() <= axis < tensor.dim() and tensor.shape[axis] == batch)
    return next(fits, None)


def chosen(inputs: Inputs, rows: list[int], declared: int | None = None) -> Inputs:
    """A batch of these rows, in this order; what has no batch axis is handed on as it is."""
    batch = inputs.batch or 0

    def pick(tensor: torch.Tensor) -> torch.Tensor:
        axis = axis_of(tensor, batch, declared)
        return tensor if axis is None else tensor.index_select(axis, torch.tensor(rows, device=tensor.device))

    picked = changed(inputs, pick)
    return Inputs(picked.args, picked.kwargs, inputs.origin, inputs.made_up, len(rows))


def stepped(inputs: Inputs) -> Inputs:
    """The same with an axis of steps behind the samples of every [sample, feature] tensor: the features, turned step by step.

    What a sample holds still depends on that sample alone.
    """

    def deepen(tensor: torch.Tensor) -> torch.Tensor:
        flat = tensor.is_floating_point() and tensor.dim() == 2 and tensor.shape[0] == inputs.batch
        return torch.stack([tensor.roll(step, -1) for step in range(STEPS)], 1) if flat else tensor

    return changed(inputs, deepen)


def fewer(inputs: Inputs, rows: int, declared: int | None = None) -> Inputs | None:
    """The first rows of a batch; None where it has no more than those, or it is not known what a sample is."""
    if inputs.batch is None or inputs.batch <= rows or unclear(inputs, rows, declared):
        return None
    return chosen(inputs, list(range(rows)), declared)


def on_few(look: Callable[[Subject], _Seen], subject: Subject, *rows: int) -> _Seen:
    """What `look` sees on the first rows of the batch, of the first of these numbers that the model takes.

    On the whole batch where it takes none of them, or has no more.
    """
    for count in rows:
        few = fewer(subject.inputs, count, subject.declared.batch_axis)
        if few is not None:
            with contextlib.suppress(ModelError, RuntimeError):  # it takes batches of one size only
                return look(dataclasses.replace(subject, inputs=few))
    return look(subject)


def judged_on_few(look: Callable[[Subject], _Seen], subject: Subject, *rows: int) -> _Seen:
    """The same where gradients count; on the whole batch with a loss, whose targets may belong to all of it."""
    return look(subject) if subject.loss is not None else on_few(look, subject, *rows)


def unclear(inputs: Inputs, least: int, declared: int | None) -> str:
    """Why it is not known what a sample is; "" where it is."""
    if inputs.batch is None:
        return "no batch axis is known"
    if inputs.batch < 2:
        return "there is one sample only"
    tensors = [leaf.tensor for leaf in leaves((inputs.args, dict(inputs.kwargs)))]
    if not any(axis_of(tensor, inputs.batch, declared) is not None for tensor in tensors):
        return "no input has the batch axis"
    for tensor in tensors:
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool or tensor.numel() == 0:
            continue
        low, high = (int(value) for value in tensor.aminmax())
        if axis_of(tensor, inputs.batch, declared) is None:
            if low >= 0 and least <= high <= inputs.batch and tensor.dim():
                return "an input of indices may point at rows of another (a graph, or offsets)"
        elif tensor.dim() == 1 and low == 0 and len(tensors) > 1 and 0 < high < inputs.batch - 1 and _sorted(tensor):
            return "an input of sorted numbers may say which rows belong together"
    return ""


def _sorted(tensor: torch.Tensor) -> bool:
    steps = tensor[1:] - tensor[:-1]
    return bool(((steps == 0) | (steps == 1)).all())
