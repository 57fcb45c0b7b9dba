"""Which gradients do perturbed weights have on a few samples? A bare pass."""

from __future__ import annotations

from functools import partial

from gradcheck_health.model.distributed.kinds import is_distributed
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.bare_pass import bare_pass
from gradcheck_health.probe.experiments.kick import kick
from gradcheck_health.probe.experiments.subbatch import judged_on_few
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace

SAMPLES = 2


def nudged(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace of nothing but the parameters, with the gradients at the perturbed weights; their values are those before.

    A quarter of the price of the fact `kicked`, which takes the whole batch, opens factors that start near zero, and shows all.
    An empty one where a gradient lies on several ranks, whose parts a bare pass does not put together.
    """
    if is_distributed(unwrap(subject.model)):
        return (trace.only(),)
    return (judged_on_few(partial(_nudged, trace=trace), subject, SAMPLES),)


def _nudged(subject: Subject, trace: Trace) -> Trace:
    with sandbox(subject.model):
        kick(subject, trace)
        return bare_pass(subject, trace)
