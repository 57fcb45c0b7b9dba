"""A file of weights, checked by itself or beside an earlier one: no model is built, and no code of a file is run."""

from __future__ import annotations

from pathlib import Path

import torch

from gradcheck_health.check.root_causes import ask, root_causes
from gradcheck_health.check.suppressions import accept
from gradcheck_health.model import checkpoint
from gradcheck_health.probe.statistics.saved_weights import measured
from gradcheck_health.records.finding import Finding, worst_first
from gradcheck_health.records.measurements import InputsTrace
from gradcheck_health.records.report import Report
from gradcheck_health.records.saved import SavedWeights
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.version import __version__
from gradcheck_health.records.wording import counted
from gradcheck_health.rules import saved as rules_of_files
from gradcheck_health.settings.config import Config

OBJECTIVE = "saved weights"


def check_weights(file: str, settings: Config, against: str | None = None) -> Report:
    """The verdict on a file.

    Args:
        against: a file of the same model from before the training.

    Raises:
        UsageError: one of them cannot be read, holds no tensors, or they have none in common.
    """
    tensors, key = checkpoint.tensors(file)
    base = None if against is None else checkpoint.tensors(against)[0]
    trace = _trace(measured(file, tensors, against or "", base), key, settings.seed)
    rules = {name: rule for name, rule in rules_of_files.every().items() if settings.select is None or name in settings.select}

    def accepted(findings: list[Finding]) -> list[Finding]:
        return accept(findings, {**settings.ignore, **(settings.expect or {})}, ())[0]

    findings, _, ran = ask(rules, settings.rules, trace, accepted)
    marked, unmatched = accept(findings, settings.ignore, ran, settings.expect)
    return Report(
        model=Path(file).name,
        target=file,
        findings=worst_first(root_causes(marked)),
        trace=trace,
        rules=ran,
        seed=settings.seed,
        fail_on=settings.fail_on,
        unmatched=unmatched,
        environment={"gradcheck-health": __version__, "torch": torch.__version__},
    )


def _trace(saved: SavedWeights, key: str, seed: int) -> Trace:
    place = f" under {key}" if key else ""
    what = f"{counted(len(saved.tensors), 'tensor')} of {saved.file}{place}"
    gaps: tuple[str, ...] = ()
    if saved.against:
        what += f", beside {saved.against}"
        if saved.unmatched:
            gaps = (f"{counted(saved.unmatched, 'tensor')} of one file that the other does not have, or in another shape",)
    return Trace(
        model=Path(saved.file).name,
        layers={},
        parameters={},
        activations=(),
        flow=(),
        outputs=(),
        inputs=InputsTrace(what, OBJECTIVE, made_up=False, batch=None),
        objective=OBJECTIVE,
        seed=seed,
        gaps=gaps,
        saved=saved,
    )
