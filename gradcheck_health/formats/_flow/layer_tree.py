"""The layers of a model as a tree in forward order: what every picture of a report is drawn from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gradcheck_health.records.finding import Finding
from gradcheck_health.records.measurements import LayerTrace, TensorStats
from gradcheck_health.records.report import Report
from gradcheck_health.records.trace import Trace


@dataclass(frozen=True, slots=True)
class Node:
    """One module, and what is known about the gradient there."""

    name: str
    kind: str
    called: bool
    used: bool
    """Called, or its weights got a gradient without a call, as those of an `out_proj` inside of a fused attention."""
    rms: float | None
    """rms of its output, forward."""
    gradient: float | None
    """Norm of the gradient that arrives at its output, over the norm at the end of the flow (the head); NaN if not finite."""
    gradient_rms: float | None
    gain: float | None
    """What the gradient's norm is multiplied by on its way back through it; None in a branch, where only a part of it goes."""
    dead: float | None
    saturated: float | None
    """Shares of the units of its activations, the worst of them."""
    findings: tuple[Finding, ...]
    """Those with a place at this very module or at one of its own parameters."""
    children: tuple[Node, ...]
    sick: bool
    """A finding is here or further in."""

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        inner = (finding for child in self.children for finding in child.all_findings)
        # by identity: the hash of a finding is that of all its places
        return tuple({id(finding): finding for finding in (*self.findings, *inner)}.values())


def tree(report: Report) -> Node:
    """The whole model as one node."""
    trace = report.trace
    inside: dict[str, list[str]] = defaultdict(list)
    for name in trace.layers:
        if name:
            inside[_parent(name, trace.layers)].append(name)
    return _node("", trace, inside, _Known(report))


def reference(trace: Trace) -> float:
    """Norm of the gradient at the head: 1 in every picture. Without a flow, the largest of the layers' outputs."""
    if trace.flow and 0 < trace.flow[-1].gradient < math.inf:
        return trace.flow[-1].gradient
    known = (norm(layer.output_gradient) for layer in trace.layers.values() if layer.output_gradient is not None)
    return max((value for value in known if 0 < value < math.inf), default=1.0)


def norm(stats: TensorStats) -> float:
    """The Euclidean norm; NaN where an entry is not finite, or where a file holds what no tensor can have."""
    return stats.norm if stats.finite and stats.numel >= 0 else math.nan


class _Known:
    """What the trace says about layers, by their names."""

    def __init__(self, report: Report) -> None:
        trace = report.trace
        self.reference = reference(trace)
        self.keeps: dict[str, float] = {}
        for below, above in zip(trace.flow, trace.flow[1:], strict=False):
            if above.gradient and not trace.flow_note:
                for name in (*_ancestors(above.layer), above.layer):
                    self.keeps[name] = self.keeps.get(name, 1.0) * below.gradient / above.gradient
        self.fed = {p.layer for p in trace.parameters.values() if p.gradient is not None and not p.gradient.is_zero}
        self.dead: dict[str, float] = {}
        self.saturated: dict[str, float] = {}
        for activation in trace.activations:
            if activation.units and not activation.by_rows:
                for table, count in ((self.dead, activation.off), (self.saturated, activation.saturated)):
                    table[activation.layer] = max(table.get(activation.layer, 0.0), count / activation.units)
        self.findings: dict[str, list[Finding]] = defaultdict(list)
        for finding in report.active:
            for home in dict.fromkeys(_home(name, trace) for name in finding.names):
                self.findings[home].append(finding)


def _home(name: str, trace: Trace) -> str:
    """The layer of a place: a layer itself, the owner of a parameter, or the nearest that is known."""
    if name in trace.parameters:
        return trace.parameters[name].layer
    while name and name not in trace.layers:
        name = name.rpartition(".")[0]
    return name


def _ancestors(name: str) -> Iterator[str]:
    """Of a.b.c: "", a, a.b."""
    if name:
        yield ""
    parts = name.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts)))


def _parent(name: str, layers: Mapping[str, LayerTrace]) -> str:
    while name:
        name = name.rpartition(".")[0]
        if name in layers:
            return name
    return ""


def _node(name: str, trace: Trace, inside: Mapping[str, Sequence[str]], known: _Known) -> Node:
    layer = trace.layers.get(name) or LayerTrace(name, trace.model, 0, 1)
    children = [_node(inner, trace, inside, known) for inner in inside.get(name, ())]
    first = {child.name: _first_call(child, trace) for child in children}
    children.sort(key=lambda child: first[child.name])
    arrived = layer.output_gradient
    findings = tuple(known.findings.get(name, ()))
    return Node(
        name=name,
        kind=layer.kind,
        called=layer.calls > 0 or any(child.called for child in children),
        used=layer.calls > 0 or name in known.fed or any(child.used for child in children),
        rms=None if layer.output is None else layer.output.rms,
        gradient=None if arrived is None else norm(arrived) / known.reference,
        gradient_rms=None if arrived is None else arrived.rms,
        gain=known.keeps.get(name),
        dead=known.dead.get(name),
        saturated=known.saturated.get(name),
        findings=findings,
        children=tuple(children),
        sick=bool(findings) or any(child.sick for child in children),
    )


def _first_call(node: Node, trace: Trace) -> float:
    orders = [layer.order] if (layer := trace.layers.get(node.name)) is not None and layer.order >= 0 else []
    return min([*orders, *(_first_call(child, trace) for child in node.children)], default=math.inf)
