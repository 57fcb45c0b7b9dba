"""What the model is fed, and by which door: its forward, or the training step that calls it."""

from __future__ import annotations

import dataclasses
import inspect
from functools import partial
from typing import Any

import torch
from torch import nn

from gradcheck_health.inputs import synthesize
from gradcheck_health.model.call import call
from gradcheck_health.model.distributed.kinds import is_replicated
from gradcheck_health.model.distributed.pipeline import Pipeline
from gradcheck_health.model.nest import leaves, map_tensors
from gradcheck_health.model.training_step import bind_step, is_beside_forward, is_bound, unbind_step
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.records.declarations import Declared
from gradcheck_health.records.errors import GradhealthError, UsageError, describe_error
from gradcheck_health.records.inputs import Inputs, Saved
from gradcheck_health.records.training import Training
from gradcheck_health.settings.config import Config


def feed(training: Training, settings: Config, declared: Declared, target: str | None) -> tuple[Inputs, tuple[str, ...]]:
    """The inputs of a model, and what of its training is left unseen by them.

    A module with a training_step beside its forward is called by the step where it can be, for there the loss is.
    """
    model = training.model
    # a forward of the wrapper makes the next backward wait for the other ranks
    inner = unwrap(model) if is_replicated(model) else model
    if isinstance(model, Pipeline) and training.inputs is None:
        raise UsageError("a pipeline is checked on a batch that is given: inputs= is what its first stage takes, on every rank")
    make = partial(
        synthesize,
        inner,
        _in_precision(training.inputs, settings),
        seed=settings.seed,
        batch_size=settings.batch_size or _samples(training.targets),
        saved=_saved(settings),
        target=target,
        stepwise=declared.causal is True,
    )
    fed: Inputs | None = None
    unseen: tuple[str, ...] = ()
    if is_beside_forward(inner) and training.loss is None and training.targets is None and training.step is None:
        fed, unseen = _for_the_step(inner, make, training.inputs, settings.seed)
    fed = fed if fed is not None else make()
    if is_bound(inner):
        fed = dataclasses.replace(fed, origin=f"{fed.origin}, fed to training_step")
    return _with_axis(fed, declared), unseen


def _for_the_step(model: nn.Module, make: Any, given: Any, seed: int) -> tuple[Inputs | None, tuple[str, ...]]:
    """A batch that the training step takes, and the step bound; or None, and what is not seen then."""
    if given is not None and not _is_a_batch(model, given):
        return None, _without("the inputs are those of forward")
    if not bind_step(model, beside_forward=True):
        return None, _without("it takes no batch")
    try:
        fed: Inputs = make()
        call(model, fed, seed)
    except GradhealthError as error:
        cause = error.__cause__
        why = "no batch could be made up for it" if cause is None else describe_error(cause)
    else:
        if all(parameter.grad is None for parameter in model.parameters()):
            return fed, ()
        why = "it goes backward itself"
    unbind_step(model)
    return None, _without(why)


def _without(why: str) -> tuple[str, ...]:
    return (f"training_step: {why}; forward ran without a loss (give the batch or a loss, or watch the step with check_step)",)


def _is_a_batch(model: nn.Module, given: Any) -> bool:
    """It is meant for the step: named as the batch is there, or a single argument that holds several."""
    if isinstance(given, dict):
        own: Any = type(model)
        batch = list(inspect.signature(own.training_step).parameters)[1:2]
        return list(given) == batch and not set(given) & set(inspect.signature(model.forward).parameters)
    return isinstance(given, (tuple, list)) and len(given) == 1 and isinstance(given[0], (tuple, list, dict))


def _in_precision(inputs: Any, settings: Config) -> Any:
    """Given tensors in the precision that the user asked for, as the text of a spec makes them."""
    if settings.dtype is None:
        return inputs
    dtype = getattr(torch, settings.dtype)
    odd = any(leaf.tensor.is_floating_point() and leaf.tensor.dtype != dtype for leaf in leaves(inputs))
    return map_tensors(inputs, lambda one: one.to(dtype) if one.is_floating_point() else one) if odd else inputs


def _samples(targets: Any) -> int | None:
    """As many samples as there are targets, where a batch is made up for them."""
    return len(targets) if isinstance(targets, torch.Tensor) and targets.dim() and len(targets) else None


def _saved(settings: Config) -> list[Saved]:
    """Inputs that were inferred earlier."""
    return [
        Saved(
            name,
            entry["model"],
            entry["forward"],
            entry["inputs"],
            settings.origins.get(f"saved_inputs.{name}", "saved_inputs"),
        )
        for name, entry in settings.saved_inputs.items()
    ]


def _with_axis(fed: Inputs, declared: Declared) -> Inputs:
    """The batch that the user declared, instead of the one that the first axis suggests."""
    if declared.batched is None:
        return fed
    resample = fed.resample
    again = None if resample is None else lambda seed: _with_axis(resample(seed), declared)
    axis, batch = declared.batch_axis, None
    if axis is not None:
        tensors = (
            leaf.tensor for leaf in leaves((fed.args, dict(fed.kwargs))) if -leaf.tensor.dim() <= axis < leaf.tensor.dim()
        )
        batch = next((int(tensor.shape[axis]) for tensor in tensors), None)
        if batch is None:
            raise UsageError(f"batch_axis {axis}: no input has such an axis: {fed.describe()}; allowed: an axis, or none")
    return dataclasses.replace(fed, batch=batch, resample=again)
