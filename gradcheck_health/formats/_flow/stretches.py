"""Which stretches of a flow belong to findings, what is cut off from it, and which limits are near enough to be drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gradcheck_health.formats._flow.axis import axis_of
from gradcheck_health.formats._flow.points import Point
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.report import Report
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import counted

NEAR = 2.0
"""Decades beyond the axis of the gradients to which a limit is still drawn."""


@dataclass(frozen=True, slots=True)
class Dark:
    """What lies on the far side of a cut."""

    layers: frozenset[str]
    """Modules that were called, and to which no gradient comes back although they hold parameters that want one."""
    parameters: int
    cause: str
    """"detach, model.py:12"; "" where nothing says it."""

    @property
    def label(self) -> str:
        behind = f" ({self.cause})" if self.cause else ""
        return f"no gradient arrives at {counted(self.parameters, 'parameter')}{behind}"


def dark_side(trace: Trace) -> Dark | None:
    """None where the gradient arrives everywhere, or where backward itself failed."""
    lost = [p for p in trace.parameters.values() if p.trainable and p.gradient is None and p.order >= 0]
    if not lost or trace.backward_error:
        return None
    lit = {name for name, layer in trace.layers.items() if layer.output_gradient is not None}
    owners = {p.layer for p in lost}
    layers = {name for name in owners if not _within(name, lit)}
    cuts = [cut for one in trace.facts.get("detailed", ()) for cut in one.cuts if cut.parameters]
    widest = max(cuts, key=lambda cut: len(cut.parameters), default=None)
    cause = "" if widest is None else ", ".join(part for part in (widest.op, widest.source) if part)
    return Dark(frozenset(layers), len(lost), cause) if layers else None


def _within(name: str, lit: set[str]) -> bool:
    return name in lit or any(other.startswith(f"{name}.") for other in lit)


def stretches(report: Report, points: Sequence[Point]) -> Iterator[tuple[int, Finding, list[list[int]]]]:
    """(number, finding, runs of points whose operation it names, or that lie in the layers that it names)."""
    for number, finding in enumerate(report.active, 1):
        hits = sorted({i for name in finding.names if name in report.trace.layers for i in _inside(name, points)})
        runs: list[list[int]] = []
        for i in hits:
            if runs and i == runs[-1][-1] + 1:
                runs[-1].append(i)
            else:
                runs.append([i])
        yield number, finding, runs


def _inside(name: str, points: Sequence[Point]) -> list[int]:
    """Points of this very layer; without any, those of its parts. The model itself is everywhere, which marks nothing."""
    exact = [i for i, p in enumerate(points) if name and p.layer == name]
    return exact or [i for i, p in enumerate(points) if name and p.layer.startswith(f"{name}.")]


def near_limits(limits: Mapping[str, float], values: Sequence[float]) -> tuple[dict[str, float], dict[str, float]]:
    """(those to draw, those too far above or below): a far limit would take the space of what was measured."""
    axis = axis_of(values)
    known = {name: bound for name, bound in limits.items() if bound > 0 and math.isfinite(bound)}
    near = {name: b for name, b in known.items() if axis.low - NEAR <= math.log10(b) <= axis.high + NEAR}
    return near, {name: bound for name, bound in known.items() if name not in near}
