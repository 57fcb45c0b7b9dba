"""The first ten steps of the optimizer that was handed over, on one batch."""

from __future__ import annotations

from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace

STEPS = 10


def more_steps(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with the steps; none without an optimizer."""
    if subject.take_steps is None:
        return ()
    return (trace.only(steps=subject.take_steps(subject, STEPS, None)),)
