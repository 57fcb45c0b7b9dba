"""Does the model hide steps by itself? Passes in which made-up square masks treat all steps alike."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial

import torch

from gradcheck_health.model.nest import leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.experiments.paired_runs import changed
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.trace import Trace


def unmasked(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `causal` as it is without the masks that were made up; as before where there are none.

    Whether true keeps a step or hides it is the author's convention: every entry is false in one pass, and true in another.
    """
    if not any(_is_mask(leaf.tensor) for leaf in leaves((subject.inputs.args, dict(subject.inputs.kwargs)))):
        return (trace.only(),)
    return (trace.only(causal=_causal(subject, torch.zeros_like) or _causal(subject, torch.ones_like)),)


def _causal(subject: Subject, fill: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """Why the model seems to be causal where every entry of a mask is the same; "" where it does not run on that."""
    level = changed(subject.inputs, partial(_levelled, fill))
    with sandbox(subject.model), contextlib.suppress(ModelError):
        return probe(dataclasses.replace(subject, inputs=level)).causal
    return ""


def _levelled(fill: Callable[[torch.Tensor], torch.Tensor], tensor: torch.Tensor) -> torch.Tensor:
    """What is added to scores hides by minus infinity; there a constant hides nothing."""
    return fill(tensor) if _is_mask(tensor) else tensor


def _is_mask(tensor: torch.Tensor) -> bool:
    if tensor.dim() < 2 or tensor.shape[-1] != tensor.shape[-2]:
        return False
    return tensor.dtype is torch.bool or bool(tensor.isneginf().any())
