"""Which line wrote over what backward needs? One more pass, in which everything that the graph saves is watched."""

from __future__ import annotations

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.forward.dataflow import Dataflow
from gradcheck_health.probe.forward.saved_values import SavedValues
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace


def clobbered(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with the values that were written over, in the order in which backward asks for them."""
    saved = SavedValues()
    with sandbox(subject.model), saved.watching():
        probe(subject, dataflow=Dataflow({}, look_for_nonfinite=False, saved=saved))
    return (trace.only(clobbered=tuple(dict.fromkeys(saved.clobbered))),)
