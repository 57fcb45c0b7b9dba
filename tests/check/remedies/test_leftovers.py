"""No cure leaves a trace on a hard model, neither one that runs through nor one in which the model raises."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health.check.remedies.catalogue import remedies
from gradcheck_health.check.remedies.operations import survey
from gradcheck_health.check.remedies.patient import Patient
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.model.sandbox.process import process_guard
from gradcheck_health.probe import Subject, probe
from gradcheck_health.records.errors import GradhealthError
from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace
from tests.model.leftovers.catalogue import HARD
from tests.model.leftovers.faults import FaultAt, Injected
from tests.model.leftovers.fingerprint import Fingerprint
from tests.model.leftovers.hard import Hard

pytestmark = pytest.mark.filterwarnings("ignore")
CAUSES = (
    ("vanishing-gradient", "linear"),
    ("exploding-gradient", "Mul"),
    ("dead-unit", "relu"),
    ("saturated-activation", "tanh"),
    ("nonfinite-gradient", "div"),
    ("vanishing-through-time", "RNN"),
    ("identical-units", ""),
    ("high-initial-loss", "outputs"),
    ("half-precision-overflow", ""),
    ("cut-gradient", "round"),
    ("missing-gradient", ""),
    ("unregistered-parameter", ""),
)
WITHIN = [entry for entry in HARD if not entry.beyond]


def findings(trace: Trace) -> list[Finding]:
    """One of each kind that names everything, so that every cure finds something to change."""
    names = [*trace.layers, *trace.parameters]
    places = tuple(Place(name) for name in names)
    return [Finding(rule, Severity.ERROR, "made up", places, cause=cause) for rule, cause in CAUSES]


FAULTS = {"runs": (-1, -1), "raises": (-1, 7), "raises half-way": (3, -1)}
"""Operations at which the cure itself, and then the model under it, is made to fail."""
QUICK = ("closures", "own-setattr", "tied-weights", "spectral-norm", "compiled", "slots", "gradients-there")


@pytest.fixture(scope="module", autouse=True)
def everything_imported() -> None:
    torch.compile(nn.Linear(2, 2), backend="eager")(torch.zeros(1, 2))


def marked(entry: Hard) -> Any:
    return pytest.param(entry, id=entry.name, marks=() if entry.name in QUICK else pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("entry", [marked(entry) for entry in WITHIN])
def test_no_cure_leaves_a_trace(entry: Hard, fault: str) -> None:
    applied, operations, traces = treated(entry, fault)
    assert traces == []
    assert applied or not operations


def treated(entry: Hard, fault: str) -> tuple[int, int, list[str]]:
    """How many cures were applied, how many operations the model has, and what is not as it was."""
    model, x = entry.build()
    subject = Subject(model, Inputs((x,), {}, "given", False, x.shape[0] if x.dim() else None))
    everything = (model, x, *entry.watched)
    before = Fingerprint.of(*everything)
    with process_guard():
        with sandbox(model, process=False):
            trace = probe(subject)
            operations = survey(subject)
        patient = Patient(subject, trace, operations)
        left = deque((finding, name) for finding in findings(trace) for name in remedies())
        applied, seen = 0, set[tuple[str, ...]]()
        while left:
            applied += _treat(left, seen, patient, fault)
    return applied, len(operations), before.differences(Fingerprint.of(*everything))


def _treat(left: deque[tuple[Finding, str]], seen: set[tuple[str, ...]], patient: Patient, fault: str) -> bool:
    """Take cures off `left` up to the next that acts, and look at the model under it; whether one was begun.

    Those that find nothing to do share its sandbox: what they might leave behind is seen all the same. A change that another
    finding has led to is made and taken back again, and not looked at twice.
    """
    while_changing, while_running = FAULTS[fault]
    change = None
    with contextlib.suppress(GradhealthError, RuntimeError), sandbox(patient.model, process=False):
        try:
            while left and change is None:
                finding, name = left.popleft()
                with FaultAt(while_changing):
                    change = remedies()[name](patient, finding)
            if change is not None and (made := (name, change.what, *change.names)) not in seen:
                seen.add(made)
                with FaultAt(while_running):
                    probe(patient.subject)
        except Injected:
            return True
    return change is not None


@pytest.mark.slow
def test_trace_of_a_cure_outside_of_the_sandbox_is_seen() -> None:
    """The test above can fail."""
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(6, 4)
    subject = Subject(model, Inputs((x,), {}, "given", False, 6))
    with sandbox(model):
        trace, operations = probe(subject), survey(subject)
    patient = Patient(subject, trace, operations)
    for name in ("he-init", "layer-norm", "leaky-relu-and-he"):
        before = Fingerprint.of(model)
        assert remedies()[name](patient, findings(trace)[0 if name != "leaky-relu-and-he" else 2]) is not None
        assert before.differences(Fingerprint.of(model)) != []
