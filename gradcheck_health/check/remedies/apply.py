"""A cure applied to a subject: to its model in place, to its loss, and to whatever is built again."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import torch

from gradcheck_health.check.remedies.catalogue import Remedy
from gradcheck_health.check.remedies.edit import NotMeasuredError
from gradcheck_health.check.remedies.patient import Change, Patient
from gradcheck_health.model.call import seed_everything
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.finding import LOSS, Finding


def apply(remedy: Remedy, patient: Patient, finding: Finding) -> Change | None:
    seed_everything(patient.subject.seed)
    return remedy(patient, finding)


def with_loss(subject: Subject, change: Change | None) -> Subject:
    """What a cure exchanges in the model it exchanges in the loss behind it, too."""
    loss = subject.loss
    if loss is None or change is None or (change.mode is None and change.scale == 1.0):
        return subject

    def edited(output: Any) -> torch.Tensor:
        with contextlib.nullcontext() if change.mode is None else change.mode.inside(LOSS):
            return loss(output) if change.scale == 1.0 else loss(output) * change.scale

    return dataclasses.replace(subject, loss=edited)


def under(remedy: Remedy, patient: Patient, finding: Finding, change: Change | None) -> Subject:
    """The subject under a cure: whatever is built again is cured again; an optimizer holds parameters that may be gone."""
    subject, again = with_loss(patient.subject, change), patient.subject.rebuild
    if again is None:
        return dataclasses.replace(subject, take_steps=None)

    def rebuild(seed: int) -> Subject:
        made = again(seed)
        seed_everything(seed)
        with contextlib.suppress(NotMeasuredError):
            made = with_loss(made, remedy(dataclasses.replace(patient, subject=made), finding))
        return made

    return dataclasses.replace(subject, rebuild=rebuild, take_steps=None)
