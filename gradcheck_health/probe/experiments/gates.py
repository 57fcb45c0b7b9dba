"""Factors that are learnt and begin near zero: gates that training opens."""

from __future__ import annotations

from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.forward_graph import forward_graph
from gradcheck_health.probe.experiments.subbatch import on_few
from gradcheck_health.probe.graph.factors import factors
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace

CLOSED, OPENED = 0.1, 0.5
"""rms below which a learnt factor is a gate that training opens, and the rms of one that is half open.

A factor counts twice where it scales queries and keys, and four times where their scores are squared: of one of 0.1 that
would leave 1e-4. A dozen gates one behind the other still close when each is half open.
"""
_NO_FACTORS = ("embedding", "padded embedding", "bias")


def closed_gates(subject: Subject, trace: Trace) -> set[str]:
    """Names of learnt factors that begin near zero, but not at it."""
    small = {
        p.name for p in trace.parameters.values() if p.trainable and 0.0 < p.value.rms < CLOSED and p.role not in _NO_FACTORS
    }
    if not small:
        return set()
    products = on_few(_factors, subject, 1)
    return {entry.name for entry in named_parameters(unwrap(subject.model)) if id(entry.tensor) in products} & small


def _factors(subject: Subject) -> set[int]:
    with sandbox(subject.model):
        graph = forward_graph(subject, every=subject.loss is None)
        return factors(graph) if graph is not None else set()
