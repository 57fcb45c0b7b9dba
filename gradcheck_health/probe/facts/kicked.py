"""The kicked point: a step away from any special initialisation."""

from __future__ import annotations

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.experiments.gates import closed_gates
from gradcheck_health.probe.experiments.kick import kick
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace


def kicked(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace on perturbed weights.

    Every weight gets 5 % of its rms in noise, all-zero matrices become N(0, 0.1 / sqrt(fan_in)), all-zero vectors N(0, 0.1).
    Zero heads, LoRA, zero-gamma, ControlNet and ReZero wake up there; truly sick nets stay sick. What a branch is multiplied
    by, entry by entry, and learns from a start near zero (the scale of queries and keys in a gated attention unit) becomes
    N(0, 0.5): a factor that is learnt is an initialisation, one that is fixed stays.
    """
    gates = closed_gates(subject, trace)
    with sandbox(subject.model):
        kick(subject, trace, gates)
        return (probe(subject),)
