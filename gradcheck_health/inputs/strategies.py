"""The ways to make up inputs, in order: what the model declares, then the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from gradcheck_health.batch import Inputs
from gradcheck_health.errors import InputInferenceError
from gradcheck_health.inputs import huggingface, keras, timm
from gradcheck_health.inputs.declared import declared
from gradcheck_health.inputs.facts import Facts
from gradcheck_health.inputs.given import read
from gradcheck_health.inputs.infer import infer
from gradcheck_health.inputs.plan import Plan
from gradcheck_health.inputs.verify import failure

Strategy = Callable[[Facts, int, "int | None"], "Inputs | None"]


def from_declaration(facts: Facts, seed: int, batch_size: int | None) -> Inputs | None:
    """What the model says it takes, if it runs."""
    found = declared(facts)
    if found is None:
        return None
    name, value = found
    inputs, _ = read(value, facts)
    if isinstance(inputs, Plan) or failure(facts, inputs, seed) is not None:
        return None
    first = next((v for v in (*inputs.args, *inputs.kwargs.values()) if isinstance(v, torch.Tensor) and v.dim()), None)
    return replace(inputs, origin=f"declared by {name}", batch=None if first is None else first.shape[0])


_CONFIGURED = 40
"""Trials from a configuration; what it tells is right at once, or of little use."""


def from_configuration(facts: Facts, seed: int, batch_size: int | None) -> Inputs | None:
    """A Hugging Face configuration, timm's `pretrained_cfg`, the inputs of a Keras model: the first guess of the search."""
    plan = huggingface.plan(facts) or timm.plan(facts) or keras.plan(facts)
    if plan is None:
        return None
    try:
        return infer(facts, seed, batch_size, start=plan, trials=_CONFIGURED)
    except InputInferenceError:
        return None  # the configuration misled: search without it


def from_search(facts: Facts, seed: int, batch_size: int | None) -> Inputs | None:
    """Coverage-guided search."""
    return infer(facts, seed, batch_size)


STRATEGIES: tuple[Strategy, ...] = (from_declaration, from_configuration, from_search)
"""Order is a decision: a declaration beats a guess."""
