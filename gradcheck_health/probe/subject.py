"""What is examined: a model, what it is fed, and how the question is asked again under other conditions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gradcheck_health.records.declarations import UNDECLARED, Declared
from gradcheck_health.records.history import History
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.starts import Uninitialized
from gradcheck_health.records.step import StepTrace
from gradcheck_health.records.trace import Trace

Loss = Callable[[Any], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with its inputs and objective; facts are measured on variations of it."""

    model: nn.Module
    inputs: Inputs
    loss: Loss | None = None
    seed: int = 0
    rounds: int = 5
    declared: Declared = UNDECLARED
    rebuild: Callable[[int], Subject] | None = None
    """seed -> the same model, initialised again; None for a fixed model."""
    around: nn.Module | None = None
    """The model as it was handed over, with the wrappers around it; None where there are none."""
    uninitialized: tuple[Uninitialized, ...] = ()
    """What the constructor left unwritten, where the model can be built again; other values stand in for it."""
    take_steps: Callable[[Subject, int, Trace | None], tuple[StepTrace, ...]] | None = None
    """So many steps of the optimizer that was handed over, undone afterwards; None without one. The gradients of a trace still
    lie in `.grad`, where one is given."""

    train: Callable[[Subject], History] | None = None
    """A run of many steps, undone afterwards; None where none is asked for."""

    compiled: nn.Module | None = None
    """The model in its compiled form, where it was handed over so; `model` is what is inside."""

    unseen: tuple[str, ...] = ()
    """What of the model's training the inputs do not run, and why."""

    def reseeded(self, seed: int) -> Subject:
        """The same weights under another batch and projection."""
        return dataclasses.replace(self, inputs=self.inputs.another(seed), seed=seed)
