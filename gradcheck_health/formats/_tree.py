"""The layers of a model as a tree in forward order, folded until it fits: what every picture of a report is drawn from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from gradcheck_health.report import Finding, Report, Severity
from gradcheck_health.trace import LayerTrace, TensorStats, Trace

MAX_DEPTH = 8
REPEATS = 3
"""From so many repetitions on, layers that repeat are drawn as one."""
PERIOD = 4
"""The longest pattern of layers, (Conv2d, BatchNorm2d, ReLU, MaxPool2d), that is recognised as repeating."""
ENDS = (8, 4, 2, 1, 0)
"""Repetitions that stay at both ends where some of them are sick."""


@dataclass(frozen=True, slots=True)
class Node:
    """One module, and what is known about the gradient there."""

    name: str
    kind: str
    called: bool
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
        return tuple(dict.fromkeys((*self.findings, *inner)))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a picture: a module, or several alike that are drawn as one."""

    depth: int
    label: str
    kind: str
    nodes: tuple[Node, ...]
    open: bool = False
    """Its children have rows of their own."""

    @property
    def folded(self) -> bool:
        return len(self.nodes) > 1

    @property
    def gradients(self) -> tuple[float, float] | None:
        """Smallest and largest gradient, relative to the head."""
        known = [node.gradient for node in self.nodes if node.gradient is not None and math.isfinite(node.gradient)]
        return (min(known), max(known)) if known else None

    @property
    def gain(self) -> float | None:
        known = [node.gain for node in self.nodes if node.gain is not None]
        return math.prod(known) if known else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What no other row shows."""
        found = (f for node in self.nodes for f in (node.findings if self.open else node.all_findings))
        return tuple(dict.fromkeys(found))

    @property
    def severity(self) -> Severity | None:
        return min((finding.severity for finding in self.findings), key=lambda severity: severity.rank, default=None)

    def worst(self, name: str) -> float | None:
        """The largest value of a share over its modules."""
        return max((value for node in self.nodes if (value := getattr(node, name)) is not None), default=None)


def tree(report: Report) -> Node:
    """The whole model as one node."""
    trace = report.trace
    inside: dict[str, list[str]] = defaultdict(list)
    for name in trace.layers:
        if name:
            inside[_parent(name, trace.layers)].append(name)
    return _node("", trace, inside, _Known(report))


@dataclass(frozen=True, slots=True)
class _Detail:
    """How much of a model is drawn."""

    depth: int
    fold: bool
    """Draw what repeats as one row."""
    ends: int
    to_the_cause: bool
    """Open what is sick down to the places of the findings, however deep they are."""


def rows(root: Node, budget: int) -> list[Row]:
    """The most detailed listing of the model's layers that has at most `budget` rows."""
    best: list[Row] = []
    for to_the_cause in (True, False):
        for fold, depth in product((False, True), range(1, MAX_DEPTH + 1)):
            for ends in ENDS if fold and root.sick else ENDS[-1:]:
                detail = _Detail(depth, fold, ends, to_the_cause)
                found = list(islice(_listing(root.children, detail, 0), budget + 1))
                if len(best) < len(found) <= budget:
                    best = found
        if best:
            return best
    return _cropped(list(_listing(root.children, _Detail(1, True, 0, False), 0)), budget)


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
        self.dead: dict[str, float] = {}
        self.saturated: dict[str, float] = {}
        for activation in trace.activations:
            if activation.units and activation.function != "softmax":
                for table, count in ((self.dead, activation.off), (self.saturated, activation.saturated)):
                    table[activation.layer] = max(table.get(activation.layer, 0.0), count / activation.units)
        self.findings: dict[str, list[Finding]] = defaultdict(list)
        for finding in report.active:
            for name in dict.fromkeys(finding.names):
                self.findings[_home(name, trace)].append(finding)


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
    findings = tuple(dict.fromkeys(known.findings.get(name, ())))
    return Node(
        name=name,
        kind=layer.kind,
        called=layer.calls > 0 or any(child.called for child in children),
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


def _listing(nodes: Sequence[Node], detail: _Detail, indent: int) -> Iterator[Row]:
    looks = [(node.kind, node.called, node.sick) for node in nodes] if detail.fold else []
    i = 0
    while i < len(nodes):
        period, times = _repetition(looks, i) if detail.fold else (1, 1)
        if times < REPEATS:
            yield from _single(nodes[i], detail, indent)
            i += 1
            continue
        stretch = nodes[i : i + period * times]
        i += len(stretch)
        kept = detail.ends * period if any(node.sick for node in stretch) else 0
        middle = stretch[kept : len(stretch) - kept]
        if len(middle) <= period:
            kept, middle = len(stretch), ()
        for node in stretch[:kept]:
            yield from _single(node, detail, indent)
        if middle:
            yield _fold(middle, period, indent)
            for node in stretch[len(stretch) - kept :]:
                yield from _single(node, detail, indent)


def _single(node: Node, detail: _Detail, indent: int) -> Iterator[Row]:
    inner_cause = detail.to_the_cause and any(child.sick for child in node.children)
    deeper = bool(node.children) and (detail.depth > 1 or inner_cause)
    yield Row(indent, _tail(node.name), node.kind, (node,), open=deeper)
    if deeper:
        yield from _listing(node.children, replace(detail, depth=detail.depth - 1), indent + 1)


def _fold(nodes: Sequence[Node], period: int, indent: int) -> Row:
    kinds = ", ".join(node.kind for node in nodes[:period])
    what = f"{len(nodes) // period} x {f'({kinds})' if period > 1 else kinds}"
    return Row(indent, f"{_tail(nodes[0].name)} .. {_tail(nodes[-1].name)}", what, tuple(nodes))


def _repetition(looks: Sequence[tuple[str, bool, bool]], start: int) -> tuple[int, int]:
    """The pattern from `start` on that covers most: its length, and how often it comes in a row."""
    best = (1, 1)
    for period in range(1, PERIOD + 1):
        pattern = looks[start : start + period]
        times = 1
        while looks[start + times * period : start + (times + 1) * period] == pattern:
            times += 1
        if times > 1 and times * period > best[0] * best[1]:
            best = (period, times)
    return best


def _cropped(listed: list[Row], budget: int) -> list[Row]:
    """The ends and what is sick; the others are told by their number."""
    if len(listed) <= budget:
        return listed
    wanted = {*range(3), *range(len(listed) - 3, len(listed))}
    sick = [i for i, row in enumerate(listed) if row.severity is not None and i not in wanted]
    wanted.update(sick[: max(0, budget - 2 * len(wanted))])
    kept: list[Row] = []
    left_out: list[Row] = []
    for i, row in enumerate(listed):
        if i not in wanted:
            left_out.append(row)
            continue
        if left_out:
            kept.append(_rest(left_out))
            left_out = []
        kept.append(row)
    return kept


def _rest(left_out: Sequence[Row]) -> Row:
    nodes = tuple(node for row in left_out for node in row.nodes)
    if len(nodes) == 1:
        return left_out[0]
    return Row(left_out[0].depth, f"{_tail(nodes[0].name)} .. {_tail(nodes[-1].name)}", f"{len(nodes)} layers", nodes)


def _tail(name: str) -> str:
    return name.rpartition(".")[2]
