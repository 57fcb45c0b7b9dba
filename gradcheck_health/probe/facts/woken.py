"""What does a pass show once the weights that are zero have moved? A step of those alone, and a probe of a few samples."""

from __future__ import annotations

from gradcheck_health.probe.experiments.zero_start import after_one_step
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace


def woken(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace after the first Adam step of all parameters that are zero and have a gradient; an empty one if there are none.

    What the first step does not wake stays to be seen after three (the fact `after_steps`).
    """
    return (after_one_step(probe, subject, trace) or trace.only(),)
