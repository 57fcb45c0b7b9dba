"""From a module or a factory to a model that is built, moved and sure to have something to train."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gradcheck_health.model import uninitialized as memory
from gradcheck_health.model.call import seed_everything
from gradcheck_health.model.distributed.pipeline import Pipeline, as_model
from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.model.source.built_at import construction
from gradcheck_health.model.training_step import bind_step, is_bound
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.criterion import bind
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import GradhealthError, ModelError, UsageError, describe_error, did_you_mean
from gradcheck_health.records.training import Training
from gradcheck_health.records.wording import a_kind
from gradcheck_health.settings.config import Config


def build(handed: Training, seed: int) -> Training:
    """The model built where a factory was handed over, with what the factory gives beside it."""
    built = _built(handed, seed)
    if isinstance(built.model, Pipeline) and built.loss is None and built.targets is not None:
        return dataclasses.replace(built, loss=built.model.loss)
    return built


def _built(handed: Training, seed: int) -> Training:
    factory = handed.model
    if isinstance(factory, nn.Module):
        return handed
    if type(factory).__name__ == "ExportedProgram":
        raise UsageError("an ExportedProgram is no module: hand over program.module(), with the inputs it was exported for")
    if not callable(factory):
        raise UsageError(f"expected an nn.Module or a factory of one, got {a_kind(factory)}")
    seed_everything(seed)
    name = getattr(factory, "__qualname__", type(factory).__name__)
    try:
        with construction(), jointly("the factory"):
            made = factory()
    except GradhealthError:
        raise
    except Exception as error:
        # raised by the call itself, not inside of it
        refused = isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None
        if refused and (missing := _required(factory)):
            told = ", ".join(missing)
            raise UsageError(
                f"{name} needs {told}, and is called without arguments: hand over {name}({told}) itself, "
                f"or for a verdict over several initialisations lambda: {name}({told})"
            ) from None
        hint = f"\n  it is called without arguments, bind them first: lambda: {name}(...)" if refused else ""
        raise ModelError(f"{name}() raised {describe_error(error)}{hint}") from error
    parts = made if isinstance(made, tuple) else (made.model,) if isinstance(made, Training) else (made,)
    parts = (as_model(parts[0]), *parts[1:]) if parts else parts
    if not parts or not isinstance(parts[0], nn.Module) or len(parts) > 3:
        raise UsageError(
            f"{name}() returned {a_kind(made)}; allowed: model, (model, inputs), (model, inputs, loss) or a Training"
        )
    return handed.completed(dataclasses.replace(made, model=parts[0]) if isinstance(made, Training) else Training(*parts))


def _required(factory: Any) -> list[str]:
    """The arguments that a call has to give."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in variadic]


def unwritten_memory(handed: Training, built: nn.Module, settings: Config) -> memory.Masks:
    """Where a factory left memory as it was; something is written there, so that no verdict hangs on what it held."""
    if isinstance(handed.model, nn.Module) or settings.checkpoint is not None:
        return {}
    try:
        found = memory.uninitialized(lambda: build(handed, settings.seed).model, built)
    except (GradhealthError, RuntimeError):  # a model that can be built only once
        return {}
    memory.write(built, found, settings.seed)
    return found


def rebuilder(handed: Training, first: Subject, settings: Config, unwritten: memory.Masks) -> Callable[[int], Subject]:
    def rebuild(seed: int) -> Subject:
        again = build(handed, seed)
        memory.write(again.model, unwritten, seed)
        bind_step(again.model, beside_forward=is_bound(first.model))
        move(again.model, settings)
        loss = bind(again.loss, again.targets, settings.seed)
        return dataclasses.replace(first, model=unwrap(again.model), inputs=first.inputs.another(seed), loss=loss, seed=seed)

    return rebuild


def move(model: nn.Module, settings: Config) -> None:
    if settings.dtype is not None:
        dtype = getattr(torch, settings.dtype, None)
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            known = ["float16", "bfloat16", "float32", "float64"]
            raise UsageError(f"dtype {settings.dtype!r}: allowed: {', '.join(known)}{did_you_mean(settings.dtype, known)}")
        model.to(dtype)
    if settings.device is not None and settings.device.partition(":")[0] == "meta":
        raise UsageError("device 'meta': it holds no values, so there is no gradient to measure; allowed: cpu, cuda:1 ...")
    if settings.device is not None:
        try:
            model.to(torch.device(settings.device))
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"device {settings.device!r}: {describe_error(error)}") from error
