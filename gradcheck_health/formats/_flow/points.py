"""The points of a flow as every picture shows them: this run's, those under other seeds, and the baseline's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gradcheck_health.formats._flow.layer_tree import norm, reference
from gradcheck_health.records.measurements import CutPoint
from gradcheck_health.records.trace import Trace


@dataclass(frozen=True, slots=True)
class Point:
    """One place on the way from the input to the output."""

    layer: str
    op: str
    gradient: float
    """Norm, the head is 1."""
    output: float | None
    keeps: float | None
    """What the gradient's norm is multiplied by between the next point towards the output and this one."""


def flow_points(trace: Trace) -> tuple[tuple[Point, ...], str]:
    """The flow from the first layer to the output, and what it was read off."""
    end = reference(trace)
    flow: Sequence[CutPoint] = trace.flow
    by = trace.flow_by
    if len(flow) < 2:
        flow, by = tuple(_leaves(trace)), "the outputs of modules, which may lie on different branches"
    found = []
    for i, point in enumerate(flow):
        above = flow[i + 1].gradient if i + 1 < len(flow) else 0.0
        found.append(
            Point(point.layer, point.op, point.gradient / end, point.output, point.gradient / above if above else None)
        )
    return tuple(found), by


def _leaves(trace: Trace) -> Iterator[CutPoint]:
    """Modules without others in them, in forward order."""
    inner = {name.rpartition(".")[0] for name in trace.layers}
    for name, layer in sorted(trace.layers.items(), key=lambda item: item[1].order):
        if layer.output_gradient is not None and name not in inner:
            output = None if layer.output is None else layer.output.rms
            yield CutPoint(name, layer.kind, norm(layer.output_gradient), output)


def other_seeds(trace: Trace, points: Sequence[Point]) -> list[list[float]]:
    """The gradients at the same points under the other seeds, without those under which the model took another way."""
    layers = [point.layer for point in points]
    ways = [flow_points(one)[0] for one in trace.facts.get("reseeded", ())]
    return [[point.gradient for point in way] for way in ways if [point.layer for point in way] == layers]


def ghost(trace: Trace, points: Sequence[Point]) -> list[float | None]:
    """The baseline's gradient at the last point of every layer that it knows."""
    if trace.reference is None or trace.reference.note:
        return []
    known: Mapping[str, float | None] = {level.name: level.decades for level in trace.reference.levels}
    last = {point.layer: i for i, point in enumerate(points)}
    levels = [known.get(point.layer) if last[point.layer] == i else None for i, point in enumerate(points)]
    return [None if level is None or not abs(level) < 300 else 10.0**level for level in levels]
