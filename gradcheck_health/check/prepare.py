"""From what the user hands over to a `Subject`: built, moved, fed, inside the sandbox."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradcheck_health.check.build import build, move, rebuilder, unwritten_memory
from gradcheck_health.check.feeding import feed
from gradcheck_health.check.trainable import refuse_transformed, require_trainable
from gradcheck_health.inputs import blame, synthesize
from gradcheck_health.inputs.given import input_files
from gradcheck_health.model import checkpoint
from gradcheck_health.model import uninitialized as memory
from gradcheck_health.model.checkpoint import Checkpoint
from gradcheck_health.model.distributed.pipeline import as_model
from gradcheck_health.model.distributed.ranks import current, in_step, perhaps_alone
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.garbage import old_objects_spared, spare_more
from gradcheck_health.model.sandbox.lasting import noticed
from gradcheck_health.model.sandbox.process import process_guard
from gradcheck_health.model.training_step import as_forward
from gradcheck_health.model.wrappers import is_compiled, unwrap
from gradcheck_health.probe.criterion import bind
from gradcheck_health.probe.subject import Subject
from gradcheck_health.probe.training.given_step import watch_given
from gradcheck_health.probe.training.optimizers import Trainers, family
from gradcheck_health.probe.training.trial import take_steps
from gradcheck_health.probe.training.trial_run import given_run, trial_run
from gradcheck_health.records.declarations import Declared
from gradcheck_health.records.errors import ModelError, UsageError, did_you_mean
from gradcheck_health.records.training import Training
from gradcheck_health.settings.config import Config
from gradcheck_health.targets.importing import import_target


@contextlib.contextmanager
def prepared(
    handed: Training, settings: Config, target: str | None = None, left: list[str] | None = None
) -> Iterator[tuple[Subject, Mapping[str, str]]]:
    """A subject that is ready to be probed, and a description of the environment; the model comes back as it was afterwards.

    Args:
        left: a list to which the names of what changed and could not be put back are appended at the end.

    Raises:
        UsageError: not a module, or nothing in it that could get a gradient.
        ModelError: the factory raised; InputInferenceError: no inputs could be made up.
    """
    refuse_transformed()
    handed = Training.of(
        handed,
        handed.inputs if handed.inputs is not None else _from_settings(settings),
        handed.loss if handed.loss is not None else settings.loss,
        handed.targets if handed.targets is not None else settings.targets,
    )
    left = [] if left is None else left
    with noticed(left), process_guard(), old_objects_spared(), contextlib.ExitStack() as together:
        with perhaps_alone(settings.timeout):
            handed = dataclasses.replace(handed, model=as_model(handed.model))
            training = build(handed, settings.seed)
        built = training.model
        together.enter_context(in_step(settings.timeout, built))
        require_trainable(built)
        unwritten = unwritten_memory(handed, built, settings)
        trainers = Trainers.of(training)
        trained_by = settings.optimizer if not trainers.given or "optimizer" in settings.origins else family(trainers.given)
        declared = Declared.of(settings.causal, settings.batch_axis, trained_by, edge_inputs=settings.edge_inputs)
        with as_forward(built), sandbox(built, process=False, left=left), contextlib.ExitStack() as precision:
            spare_more()  # what was remembered
            move(built, settings)
            precision.enter_context(_autocast(built, settings))
            if settings.checkpoint is not None:
                checkpoint.load(built, Checkpoint.of(settings.checkpoint), convert=settings.dtype is not None)
            fed, unseen = feed(training, settings, declared, target)
            loss = bind(_from_a_file(training.loss), training.targets, settings.seed)
            # inside its wrapper: DistributedDataParallel refuses a second forward when a parameter was not used in the first
            compiled = built if is_compiled(built) else None
            subject = Subject(
                unwrap(built), fed, loss, settings.seed, settings.rounds, declared, compiled=compiled, unseen=unseen
            )
            if subject.model is not built:
                subject = dataclasses.replace(subject, around=built)
            # the weights of a file are the same whatever the seed
            if not isinstance(handed.model, nn.Module) and settings.checkpoint is None:
                subject = dataclasses.replace(
                    subject,
                    rebuild=rebuilder(handed, subject, settings, unwritten),
                    uninitialized=memory.describe(built, unwritten),
                )
            if training.step is not None:
                subject = dataclasses.replace(subject, take_steps=partial(watch_given, training.step, trainers))
            elif trainers.given or trainers.own:
                subject = dataclasses.replace(subject, take_steps=partial(take_steps, trainers))
            count = training.steps if settings.steps is None else settings.steps
            if count is not None:
                run = partial(trial_run, trainers, count)
                if training.step is not None:
                    run = partial(given_run, training.step, trainers, count)
                subject = dataclasses.replace(subject, train=run)
            try:
                yield subject, _environment(built, settings)
            except ModelError as error:
                # of several ranks one alone must not run forward again: the others take no part in its collectives
                fault = None if fed.made_up or current() is not None else blame(built, fed, settings.seed)
                if fault is None:
                    raise
                raise fault from error


def _from_a_file(loss: Any) -> Any:
    """What "train.py:my_loss" names; anything else as it is."""
    file, colon, name = loss.rpartition(":") if isinstance(loss, str) else ("", "", "")
    if not colon or not file.endswith(".py"):
        return loss
    module = import_target(file, is_file=True)
    if not callable(found := getattr(module, name, None)):
        known = [key for key, value in vars(module).items() if callable(value)]
        raise UsageError(f"loss {loss!r}: {file} has no function {name!r}{did_you_mean(name, known)}")
    return found


def _autocast(model: nn.Module, settings: Config) -> contextlib.AbstractContextManager[Any]:
    """The precision that forward and loss run in, on the device that the model is on."""
    if settings.autocast is None:
        return contextlib.nullcontext()
    device = next(model.parameters()).device.type
    return torch.autocast(device, dtype=getattr(torch, settings.autocast))


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


def _environment(model: nn.Module, settings: Config) -> dict[str, str]:
    from gradcheck_health.records.version import __version__

    weights = {} if settings.checkpoint is None else Checkpoint.of(settings.checkpoint).as_options()

    first = next((p for p in model.parameters() if p.is_floating_point() or p.is_complex()), None)
    if first is None:
        raise UsageError(f"{type(model).__name__}.parameters() gives none, though the module holds some: it is overridden")
    return {
        "gradcheck-health": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": first.device.type,
        "dtype": str(first.dtype).removeprefix("torch."),
        "mode": "training" if model.training else "eval",
        **weights,
    }
