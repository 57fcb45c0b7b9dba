"""A run of many steps on one batch, watched as a loop of the user's would be, and undone afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from gradcheck_health.model.call import eager, seed_everything
from gradcheck_health.model.nest import fresh
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.subject import Subject
from gradcheck_health.probe.training.given_step import batch_of, what_it_uses
from gradcheck_health.probe.training.optimizers import Trainers
from gradcheck_health.probe.training.step_call import call_step
from gradcheck_health.probe.training.trial import one_step
from gradcheck_health.probe.training.watching.watcher import Watcher
from gradcheck_health.records.history import History

USUAL: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, lr=0.01),
    "adam": partial(torch.optim.Adam, lr=1e-3),
}
"""What a model is trained with where no optimizer was handed over, only its family."""


def trial_run(trainers: Trainers, count: int, subject: Subject) -> History:
    """Steps that the check takes itself, on the subject's batch and with its loss.

    Raises:
        ModelError: forward, the loss or the optimizer raised; UsageError: the optimizer does not fit the model.
    """
    if not trainers.given and not trainers.own:
        trainers = Trainers((USUAL[subject.declared.optimizer],))
    with sandbox(subject.model, also=trainers.objects):
        optimizers = trainers.build(subject.model)
        watcher = _watcher(subject, optimizers, count, trainers.scaler)
        watcher.start()
        try:
            for _ in range(count):
                one_step(trainers, optimizers, subject, watcher.loss)
            return watcher.history()
        finally:
            watcher.stop()


def given_run(step: Callable[..., Any], trainers: Trainers, count: int, subject: Subject) -> History:
    """The user's own step, called as often.

    Raises:
        ModelError: it raised.
    """
    batch = batch_of(step, subject)
    with sandbox(subject.model, also=(*trainers.objects, step, *what_it_uses(step), *batch)):
        watcher = _watcher(subject, trainers.build(subject.model), count, trainers.scaler)
        watcher.start()
        try:
            with eager():
                for k in range(count):
                    seed_everything(subject.seed + k)
                    call_step(step, fresh(batch))
            return watcher.history()
        finally:
            watcher.stop()


def _watcher(subject: Subject, optimizers: tuple[torch.optim.Optimizer, ...], count: int, scaler: Any) -> Watcher:
    return Watcher(subject.model, optimizers, lambda *_: None, lambda: None, every=1, dense=count, scaler=scaler)
