"""The optional arguments that made-up inputs left out are supplied, as many as the model runs with."""

from __future__ import annotations

import dataclasses

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace


def supplied(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace; its `inputs.left_out` names what could not be supplied."""
    more = subject.inputs.fuller() if subject.inputs.fuller is not None else None
    if more is None:  # nothing more than the trace shows
        return (dataclasses.replace(trace, facts={}),)
    with sandbox(subject.model):
        return (probe(dataclasses.replace(subject, inputs=more)),)
