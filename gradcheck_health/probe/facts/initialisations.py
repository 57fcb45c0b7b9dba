"""How often does a freshly built model start dead? Initialisations are drawn until a sequential test is decided."""

from __future__ import annotations

import math

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.starts import Initialisations
from gradcheck_health.records.trace import Trace

MOST = 40
RARE, OFTEN = 0.02, 0.15
"""The shares of dead initialisations between which the test decides."""
DECIDED = math.log(99)
"""Wald 1945, for errors of 1 % on both sides."""
_SHARE = 0.5
"""An initialisation is dead where so many of the parameters get no gradient that others let through."""


def initialisations(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with the count; none of a model that cannot be built again."""
    if subject.rebuild is None:
        return ()
    traces = [trace]
    while len(traces) < 2 or (abs(_score(*_counts(traces))) < DECIDED and len(traces) < MOST):
        with sandbox((other := subject.rebuild(subject.seed + 1000 + len(traces))).model):
            traces.append(probe(other))
    dead = _dead(traces)
    always = frozenset.intersection(*map(_silent, traces))
    names = {name for one in dead for name in _silent(one) - always}
    found = Initialisations(
        drawn=len(traces),
        dead=len(dead),
        silent=tuple(name for name in trace.parameters if name in names),
        layers=tuple(dict.fromkeys(layer for one in dead for layer in _off(one))),
        score=_score(len(dead), len(traces)),
    )
    return (trace.only(initialisations=found),)


def _counts(traces: list[Trace]) -> tuple[int, int]:
    return len(_dead(traces)), len(traces)


def _score(dead: int, drawn: int) -> float:
    """Logarithm of the likelihood of `OFTEN` over that of `RARE`."""
    return dead * math.log(OFTEN / RARE) + (drawn - dead) * math.log((1 - OFTEN) / (1 - RARE))


def _dead(traces: list[Trace]) -> list[Trace]:
    always = frozenset.intersection(*map(_silent, traces))
    total = sum(p.trainable for p in traces[0].parameters.values()) - len(always)
    return [one for one in traces if _off(one) and len(_silent(one) - always) >= max(1.0, _SHARE * total)]


def _silent(trace: Trace) -> frozenset[str]:
    """Trainable parameters without a gradient other than zero."""
    return frozenset(name for name, p in trace.parameters.items() if p.trainable and (p.gradient is None or p.gradient.is_zero))


def _off(trace: Trace) -> tuple[str, ...]:
    """Layers of a few units that are all off."""
    return tuple(a.producer or a.layer for a in trace.activations if a.narrow and a.off == a.units)
