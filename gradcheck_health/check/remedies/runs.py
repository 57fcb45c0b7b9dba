"""The best cures after a short run each, beside the model without one, and what only a run can say."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping

from gradcheck_health.check.remedies.apply import apply, with_loss
from gradcheck_health.check.remedies.catalogue import Remedy
from gradcheck_health.check.remedies.clipping import run_answers
from gradcheck_health.check.remedies.patient import Patient
from gradcheck_health.check.remedies.short_run import short_run
from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError, describe_error
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.remedies import GONE, NO_HELP, NOT_MEASURED, RAISED, SOUND, TRAINS, RemedyTrial, ShortRun
from gradcheck_health.settings.config import Config

RUN = 3
"""Cures of a finding that are trained for some steps, where that is asked for."""
RANK = {SOUND: 0, GONE: 1, TRAINS: 2, NO_HELP: 3, NOT_MEASURED: 4, RAISED: 5}


def plain_run(subject: Subject, settings: Config) -> ShortRun | None:
    """The model without a cure."""
    if not settings.remedy_steps:
        return None
    with contextlib.suppress(ModelError, RuntimeError), sandbox(subject.model, process=False):
        return short_run(subject, settings.remedy_steps, settings.optimizer if _given(settings) else "adam")
    return None


def _given(settings: Config) -> bool:
    return "optimizer" in settings.origins


def with_runs(
    trials: list[RemedyTrial],
    patient: Patient,
    finding: Finding,
    chosen: Mapping[str, Remedy],
    settings: Config,
    plain: ShortRun,
) -> list[RemedyTrial]:
    """The best three after a short run each, the one that learns most first; and what only a run can say."""
    best, rest = trials[:RUN], trials[RUN:]
    ran = [_ran(trial, patient, finding, chosen[trial.remedy], plain) if trial.helps else trial for trial in best]
    ran.sort(key=lambda one: (RANK[one.outcome], one.run.share if one.run is not None else math.inf))
    answers = []
    if finding.rule in _CLIPPED and not settings.only_remedies:
        base = RemedyTrial("", finding.rule, trials[0].finding, NO_HELP) if trials else None
        answers = [] if base is None else run_answers(patient.subject, base, plain, plain.optimizer)
    return sorted([*ran, *rest, *answers], key=lambda one: RANK[one.outcome])


_CLIPPED = ("exploding-gradient", "exploding-through-time")


def _ran(trial: RemedyTrial, patient: Patient, finding: Finding, remedy: Remedy, plain: ShortRun) -> RemedyTrial:
    try:
        with jointly("a remedy"), sandbox(patient.model, process=False):
            subject = with_loss(patient.subject, apply(remedy, patient, finding))
            return dataclasses.replace(trial, run=short_run(subject, plain.steps, plain.optimizer))
    except Exception as error:  # noqa: BLE001 - as below
        return dataclasses.replace(trial, why=f"the run raised {describe_error(error)}".partition("\n")[0])
