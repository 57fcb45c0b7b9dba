"""The ways to make up inputs, in order: what the model declares, then the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from gradcheck_health.inputs.given.declared import declared
from gradcheck_health.inputs.given.read import read
from gradcheck_health.inputs.given.verify import failure
from gradcheck_health.inputs.plan import Plan
from gradcheck_health.inputs.search.make_up import infer
from gradcheck_health.inputs.static import huggingface, keras, timm
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.records.errors import InputInferenceError
from gradcheck_health.records.inputs import Inputs

Strategy = Callable[[ModelInfo, int, "int | None"], "Inputs | None"]


def from_declaration(info: ModelInfo, seed: int, batch_size: int | None) -> Inputs | None:
    """What the model says it takes, if it runs."""
    found = declared(info)
    if found is None:
        return None
    name, value = found
    inputs, _ = read(value, info)
    if isinstance(inputs, Plan) or failure(info, inputs, seed) is not None:
        return None
    first = next((v for v in (*inputs.args, *inputs.kwargs.values()) if isinstance(v, torch.Tensor) and v.dim()), None)
    return replace(inputs, origin=f"declared by {name}", batch=None if first is None else first.shape[0])


_CONFIGURED = 40
"""Trials from a configuration; what it tells is right at once, or of little use."""


def from_configuration(info: ModelInfo, seed: int, batch_size: int | None) -> Inputs | None:
    """A Hugging Face configuration, timm's `pretrained_cfg`, the inputs of a Keras model: the first guess of the search."""
    plan = huggingface.plan(info) or timm.plan(info) or keras.plan(info)
    if plan is None:
        return None
    try:
        return infer(info, seed, batch_size, start=plan, trials=_CONFIGURED)
    except InputInferenceError:
        return None  # the configuration misled: search without it


def from_search(info: ModelInfo, seed: int, batch_size: int | None) -> Inputs | None:
    """Coverage-guided search."""
    return infer(info, seed, batch_size)


STRATEGIES: tuple[Strategy, ...] = (from_declaration, from_configuration, from_search)
"""Order is a decision: a declaration beats a guess."""
