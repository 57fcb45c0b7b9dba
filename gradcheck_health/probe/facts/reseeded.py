"""Other seeds: a factory is built again, a fixed model gets other batches and projections."""

from __future__ import annotations

import dataclasses

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace


def reseeded(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """The traces that are there, and one under the next seed: a sequential test asks for one more until it is decided."""
    known = trace.facts.get("reseeded", ())
    trained = trace.facts.get("after_steps", ())
    seed = subject.seed + len(known) + 1
    other = subject.rebuild(seed) if subject.rebuild is not None else subject.reseeded(seed)
    if not known and subject.rebuild is None and trained and trained[0].inputs.batch == subject.inputs.batch:
        seen = trained[0]  # before the first step: the same weights under the next seed
    else:
        with sandbox(other.model):
            seen = probe(other)
    return (*known, dataclasses.replace(seen, varied=_varied(subject, trace, seen)))


def _varied(subject: Subject, trace: Trace, seen: Trace) -> tuple[str, ...]:
    """What was another than before, as far as it makes a difference."""
    found = []
    if subject.rebuild is not None:
        found.append("initialisation")
    if subject.inputs.resample is not None:
        found.append("batch")
    if seen.objective == "random projection":
        found.append("projection")
    if not found and [point.gradient for point in seen.flow] != [point.gradient for point in trace.flow]:
        found.append("random draw in forward")
    return tuple(found)
