"""Other seeds: a factory is built anew, a fixed model gets other batches and projections."""

from __future__ import annotations

from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.sandbox import sandbox
from gradcheck_health.probe.subject import Subject
from gradcheck_health.trace import Trace


def reseeded(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace for each of `subject.rounds - 1` further seeds."""
    traces = []
    for seed in range(subject.seed + 1, subject.seed + subject.rounds):
        other = subject.rebuild(seed) if subject.rebuild is not None else subject.reseeded(seed)
        with sandbox(other.model):
            traces.append(probe(other))
    return tuple(traces)
