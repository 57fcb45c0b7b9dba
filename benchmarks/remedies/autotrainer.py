"""The recipe of AUTOTRAINER (Zhang et al., ICSE 2021), on the same models: its solutions in its order, the first that works.

Vanishing: batch normalisation, then ReLU for what squashes, then He initialisation. Exploding: gradient clipping (which changes no
model), batch normalisation, He initialisation. Dying ReLU: batch normalisation, leaky ReLU, He initialisation. It knows no other
problem, and validates a solution by training on; here by the same verdict and the same run as ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from gradcheck_health.check.diagnose import Rules, diagnose
from gradcheck_health.check.remedies.apply import apply, under, with_loss
from gradcheck_health.check.remedies.catalogue import remedies
from gradcheck_health.check.remedies.operations import survey
from gradcheck_health.check.remedies.patient import Patient
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.finding import Severity
from gradcheck_health.records.report import Report
from gradcheck_health.settings.config import Config

RECIPE = {
    "vanishing-gradient": ("batch-norm", "relu-and-he", "he-init"),
    "exploding-gradient": ("batch-norm", "he-init"),
    "dead-unit": ("batch-norm", "leaky-relu-and-he", "he-init"),
}


def autotrainer(
    subject: Subject,
    report: Report,
    rules: Rules,
    environment: Mapping[str, str],
    settings: Config,
    learns: Callable[[Subject], float | None] | None,
) -> dict[str, Any]:
    """Which of its solutions makes the model sound first, and what is left of the loss with it."""
    for finding in report.active:
        for name in RECIPE.get(finding.rule, ()):
            with sandbox(subject.model, process=False):
                patient = Patient(subject, report.trace, survey(subject))
            with contextlib.suppress(Exception), sandbox(subject.model, process=False):
                change = apply(remedies()[name], patient, finding)
                if change is None:
                    continue
                after = diagnose(under(remedies()[name], patient, finding, change), environment, rules, settings)
                if all(one.severity is Severity.NOTE for one in after.active):
                    share = learns(with_loss(subject, change)) if learns is not None else None
                    return {"sound": True, "remedy": name, "learns": share}
    return {"sound": False, "remedy": "", "learns": None}
