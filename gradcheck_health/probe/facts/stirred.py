"""Do zeros of a gradient wake up once the weights that are zero have moved? A step of those alone, a bare pass of few rows."""

from __future__ import annotations

from functools import partial

from gradcheck_health.model.distributed.kinds import is_distributed
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.bare_pass import bare_pass
from gradcheck_health.probe.experiments.zero_start import after_one_step
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace


def stirred(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace of nothing but the parameters with their gradients then; an empty one if no zero moves.

    Half the price of the fact `woken`, which also shows units, outputs and the flow. Of a gradient that lies on several ranks a
    probe puts the rows together.
    """
    look = probe if is_distributed(unwrap(subject.model)) else partial(bare_pass, trace=trace)
    return (after_one_step(look, subject, trace) or trace.only(),)
