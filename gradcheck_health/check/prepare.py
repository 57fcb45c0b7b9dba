"""From what a person hands over to a `Subject`: built, moved, fed, inside the sandbox."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradcheck_health.check.trainable import require_trainable
from gradcheck_health.inputs import blame, synthesize
from gradcheck_health.inputs.given import input_files
from gradcheck_health.model import checkpoint
from gradcheck_health.model.call import seed_everything
from gradcheck_health.model.checkpoint import Checkpoint
from gradcheck_health.model.nest import leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.garbage import old_objects_spared, spare_more
from gradcheck_health.model.sandbox.process import process_guard
from gradcheck_health.model.source.built_at import construction
from gradcheck_health.model.training_step import as_forward, bind_step
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.criterion import bind
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.declarations import Declared
from gradcheck_health.records.errors import (
    GradhealthError,
    ModelError,
    UsageError,
    describe_error,
    did_you_mean,
)
from gradcheck_health.records.inputs import Inputs, Saved
from gradcheck_health.settings.config import Config


@contextlib.contextmanager
def prepared(
    model: Any, inputs: Any, loss: Any, targets: Any, settings: Config, target: str | None = None
) -> Iterator[tuple[Subject, Mapping[str, str]]]:
    """A subject that is ready to be probed, and a description of the environment; the model comes back as it was afterwards.

    Raises:
        UsageError: not a module, or nothing in it that could get a gradient.
        ModelError: the factory raised; InputInferenceError: no inputs could be made up.
    """
    given = inputs if inputs is not None else _from_settings(settings)
    loss = loss if loss is not None else settings.loss
    targets = targets if targets is not None else settings.targets
    given_loss = loss
    declared = Declared.of(settings.causal, settings.batch_axis, settings.optimizer)
    with process_guard(), old_objects_spared():
        built, given, loss = _build(model, given, loss, settings.seed)
        require_trainable(built)
        with as_forward(built) as stepping, sandbox(built, process=False):
            spare_more()  # what was remembered
            _move(built, settings)
            if settings.checkpoint is not None:
                checkpoint.load(built, Checkpoint.of(settings.checkpoint), convert=settings.dtype is not None)
            fed = synthesize(
                built,
                given,
                seed=settings.seed,
                batch_size=settings.batch_size or _samples(targets),
                saved=saved(settings),
                target=target,
                stepwise=declared.causal is True,
            )
            if stepping:
                fed = dataclasses.replace(fed, origin=f"{fed.origin}, fed to training_step")
            fed = _with_axis(fed, declared)
            loss = bind(loss, targets, settings.seed)
            # inside its wrapper: DistributedDataParallel refuses a second forward when a parameter was not used in the first
            subject = Subject(unwrap(built), fed, loss, settings.seed, settings.rounds, declared)
            # the weights of a file are the same whatever the seed
            if not isinstance(model, nn.Module) and settings.checkpoint is None:
                subject = dataclasses.replace(subject, rebuild=_rebuilder(model, subject, given_loss, targets, settings))
            try:
                yield subject, _environment(built, settings)
            except ModelError as error:
                fault = None if fed.made_up else blame(built, fed, settings.seed)
                if fault is None:
                    raise
                raise fault from error


def _samples(targets: Any) -> int | None:
    """As many samples as there are targets, where a batch is made up for them."""
    return len(targets) if isinstance(targets, torch.Tensor) and targets.dim() and len(targets) else None


def runs(model: nn.Module) -> bool:
    """Whether inputs can be made up for the model."""
    try:
        with process_guard(), as_forward(model), sandbox(model, process=False):
            synthesize(model)
    except Exception:  # noqa: BLE001 - whatever it raises, it does not run
        return False
    return True


def _from_settings(settings: Config) -> Any:
    """The inputs of the settings; files in them stand beside the settings file."""
    place = settings.origins.get("inputs")
    return (
        settings.inputs
        if place is None
        else input_files.beside(settings.inputs, Path(place.rpartition(":")[0] or place).parent)
    )


def saved(settings: Config) -> list[Saved]:
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


def _build(model: Any, inputs: Any, loss: Any, seed: int) -> tuple[nn.Module, Any, Any]:
    if isinstance(model, nn.Module):
        return model, inputs, loss
    if not callable(model):
        raise UsageError(f"expected an nn.Module or a factory of one, got a {type(model).__name__}")
    seed_everything(seed)
    name = getattr(model, "__qualname__", type(model).__name__)
    try:
        with construction():
            made = model()
    except GradhealthError:
        raise
    except Exception as error:
        # raised by the call itself, not inside of it
        bind = isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None
        hint = f"\n  it is called without arguments, bind them first: lambda: {name}(...)" if bind else ""
        raise ModelError(f"{name}() raised {describe_error(error)}{hint}") from error
    parts = made if isinstance(made, tuple) else (made,)
    if not parts or not isinstance(parts[0], nn.Module) or len(parts) > 3:
        raise UsageError(f"{name}() returned a {type(made).__name__}; allowed: model, (model, inputs) or (model, inputs, loss)")
    made_inputs = parts[1] if len(parts) > 1 else None
    made_loss = parts[2] if len(parts) > 2 else None
    return parts[0], inputs if inputs is not None else made_inputs, loss if loss is not None else made_loss


def _with_axis(fed: Inputs, declared: Declared) -> Inputs:
    """The batch that a person declared, instead of the one that the first axis suggests."""
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


def _rebuilder(factory: Any, first: Subject, given_loss: Any, targets: Any, settings: Config) -> Callable[[int], Subject]:
    def rebuild(seed: int) -> Subject:
        built, _, own_loss = _build(factory, None, None, seed)
        bind_step(built)
        _move(built, settings)
        loss = bind(own_loss if given_loss is None else given_loss, targets, settings.seed)
        return dataclasses.replace(first, model=unwrap(built), inputs=first.inputs.another(seed), loss=loss, seed=seed)

    return rebuild


def _move(model: nn.Module, settings: Config) -> None:
    if settings.dtype is not None:
        dtype = getattr(torch, settings.dtype, None)
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            known = ["float16", "bfloat16", "float32", "float64"]
            raise UsageError(f"dtype {settings.dtype!r}: allowed: {', '.join(known)}{did_you_mean(settings.dtype, known)}")
        model.to(dtype)
    if settings.device is not None:
        try:
            model.to(torch.device(settings.device))
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"device {settings.device!r}: {describe_error(error)}") from error


def _environment(model: nn.Module, settings: Config) -> dict[str, str]:
    from gradcheck_health.records.version import __version__

    weights = {} if settings.checkpoint is None else Checkpoint.of(settings.checkpoint).as_options()

    first = next(p for p in model.parameters() if p.is_floating_point() or p.is_complex())
    return {
        "gradcheck-health": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": first.device.type,
        "dtype": str(first.dtype).removeprefix("torch."),
        "mode": "training" if model.training else "eval",
        **weights,
    }
