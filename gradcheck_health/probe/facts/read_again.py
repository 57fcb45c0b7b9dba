"""Does forward go on with the graph that an earlier batch left in attributes? Three bare forward passes of one sample."""

from __future__ import annotations

from functools import partial

from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.forward_graph import forward_graph
from gradcheck_health.probe.experiments.subbatch import on_few
from gradcheck_health.probe.forward.retained_graph import held
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace

PASSES = 3


def read_again(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `carried`: of those of the first pass the attributes that a later pass builds its graph on.

    What each batch writes over before it is read (the correlations of RAFT) does not come back: no backward pass is needed to
    tell that none would fail.
    """
    return (trace.only(carried=on_few(partial(_read, carried=trace.carried), subject, 1)),)


def _read(subject: Subject, carried: tuple[str, ...]) -> tuple[str, ...]:
    model = unwrap(subject.model)
    with sandbox(subject.model):
        for _ in range(PASSES):
            before = held(model)
            graph = forward_graph(subject)
            if graph is None:
                return carried
            used = set(map(id, graph.nodes))
            if read := tuple(path for path, nodes in before.items() if not used.isdisjoint(map(id, nodes))):
                return read
    return ()
