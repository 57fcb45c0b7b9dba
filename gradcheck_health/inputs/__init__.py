"""Make up, read and verify what a model is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from gradcheck_health.inputs.given.saved import from_saved
from gradcheck_health.inputs.given.verify import blame, synthesize_given
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.strategies import STRATEGIES
from gradcheck_health.records.inputs import Inputs, Saved

__all__ = ["STRATEGIES", "Inputs", "blame", "synthesize"]


def synthesize(
    model: nn.Module,
    given: Any = None,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    saved: Sequence[Saved] = (),
    target: str | None = None,
    stepwise: bool = False,
) -> Inputs:
    """Inputs for `model`: made-up ones were seen to run, given ones are only checked (`blame` explains where they fail).

    Args:
        given: None to make them up; a tensor, a tuple or list of positional values, a dict of keyword arguments or of specs
            (`{"x": "f32[B,3,S,S]"}`, whole or partial), a callable that returns any of these, a DataLoader, or `Inputs`.
        seed: everything that is drawn depends on it and on nothing else.
        batch_size: samples for the probe; chosen by cost where None.
        saved: inputs that were inferred earlier; those of `target`, else of the model's class, are used if nothing was given.
        target: how the user named the model.
        stepwise: the user said that the model works along time steps.

    The model must be in a sandbox already; every trial runs in one of its own besides.

    Raises:
        InputsError: what was given cannot be used.
        InputInferenceError: nothing could be made up; the message says how far the search got and what to give.
    """
    info = ModelInfo(model, stepwise)
    if given is not None:
        return synthesize_given(info, given, seed, batch_size)
    found, stale = from_saved(info, saved, target, seed, batch_size)
    if found is not None:
        return found
    for strategy in STRATEGIES:
        inputs = strategy(info, seed, batch_size)
        if inputs is not None:
            return replace(inputs, origin=f"{inputs.origin}; {stale}") if stale else inputs
    raise AssertionError("the last strategy returns or raises")
