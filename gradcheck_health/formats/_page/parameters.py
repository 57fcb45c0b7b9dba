"""The table of parameters, with the spread of every gradient over powers of ten: rows and colours are the heat map."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gradcheck_health.records.finding import Finding
from gradcheck_health.records.measurements import ParameterTrace
from gradcheck_health.records.report import Report

LEVELS = 5
MAX_DECADES = 22
FOLDED_FROM = 1000
"""A model with more parameters shows one row for each group, and the rows of a group on demand."""


@dataclass(frozen=True, slots=True)
class ParameterRow:
    index: int
    name: str
    kind: str
    shape: str
    numel: int
    value: float
    """rms"""
    gradient: float | None
    """rms; NaN where an entry is not finite."""
    largest: float | None
    zeros: float | None
    """Share of exact zeros in the sample."""
    state: str
    """ok, zero, none, nonfinite or frozen."""
    findings: tuple[int, ...]
    cells: tuple[tuple[int, str], ...]
    """(level of the colour, path of its cells), in columns of one decade."""


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters whose names begin alike."""

    name: str
    rows: tuple[ParameterRow, ...]
    cells: tuple[tuple[int, str], ...]

    @property
    def range(self) -> tuple[float, float] | None:
        known = [row.gradient for row in self.rows if row.gradient is not None and math.isfinite(row.gradient)]
        return (min(known), max(known)) if known else None

    @property
    def sick(self) -> int:
        return sum(bool(row.findings) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Parameters:
    groups: tuple[ParameterGroup, ...]
    """One with an empty name where nothing is folded."""
    low: int
    high: int
    """The first and the last decade of the heat map; what lies below is counted in the first."""
    total: int

    @property
    def folded(self) -> bool:
        return len(self.groups) > 1 or any(group.name for group in self.groups)

    @property
    def columns(self) -> int:
        """Width of the map: the exact zeros, a gap, the decades."""
        return self.high - self.low + 3


def parameters(report: Report) -> Parameters:
    """In forward order."""
    trace = report.trace
    decades = [decade for p in trace.parameters.values() for decade, _ in p.decades]
    high = max(decades, default=0)
    low = max(min(decades, default=-3), high - MAX_DECADES)
    named: dict[str, list[int]] = defaultdict(list)
    for number, finding in enumerate(report.active, 1):
        for name in dict.fromkeys(finding.names):
            named[name].append(number)
    listed = list(trace.parameters.values())
    found = [_row(i, p, named, low, high) for i, p in enumerate(listed)]
    if len(found) <= FOLDED_FROM:
        return Parameters((ParameterGroup("", tuple(found), ()),), low, high, len(found))
    members: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(found):
        members[_group(row.name)].append(i)
    groups = tuple(
        ParameterGroup(name, tuple(found[i] for i in indices), _cells(_sum([listed[i] for i in indices]), low, high))
        for name, indices in members.items()
    )
    return Parameters(groups, low, high, len(found))


def _group(name: str) -> str:
    """Up to the first number: `encoder.layers.3` of encoder.layers.3.mlp.0.weight, `head` of head.weight."""
    parts = name.split(".")[:-1]
    end = next((i for i, part in enumerate(parts) if part.isdigit()), 0)
    return ".".join(parts[: end + 1]) or name


def _row(i: int, p: ParameterTrace, named: Mapping[str, Sequence[int]], low: int, high: int) -> ParameterRow:
    gradient = p.gradient
    sampled = p.zeros + sum(count for _, count in p.decades)
    return ParameterRow(
        index=i,
        name=p.name,
        kind=p.kind,
        shape=" x ".join(map(str, p.shape)) or "scalar",
        numel=p.value.numel,
        value=p.value.rms,
        gradient=None if gradient is None else gradient.rms if gradient.finite else math.nan,
        largest=None if gradient is None else gradient.max if gradient.finite else math.nan,
        zeros=p.zeros / sampled if sampled else None,
        state=_state(p),
        findings=tuple(sorted({*named.get(p.name, ()), *named.get(p.layer or p.name, ())})),
        cells=_cells((p.zeros, dict(p.decades)), low, high),
    )


def _state(p: ParameterTrace) -> str:
    if not p.trainable:
        return "frozen"
    if p.gradient is None:
        return "none"
    if not p.gradient.finite:
        return "nonfinite"
    return "zero" if p.gradient.is_zero else "ok"


def _sum(members: Sequence[ParameterTrace]) -> tuple[int, Mapping[int, int]]:
    total: dict[int, int] = defaultdict(int)
    for p in members:
        for decade, count in p.decades:
            total[decade] += count
    return sum(p.zeros for p in members), total


def _cells(entries: tuple[int, Mapping[int, int]], low: int, high: int) -> tuple[tuple[int, str], ...]:
    """One path for each level: cells of one decade, the exact zeros in the first column."""
    zeros, decades = entries
    columns: dict[int, int] = defaultdict(int)
    columns[0] = max(0, zeros)
    for decade, count in decades.items():
        columns[min(max(decade, low), high) - low + 2] += max(0, count)
    total = sum(columns.values())
    levels: dict[int, list[str]] = defaultdict(list)
    for column, count in sorted(columns.items()):
        if count > 0:
            # the square root: the rare decades are what the user looks for
            levels[min(LEVELS, max(1, math.ceil(LEVELS * math.sqrt(count / total))))].append(f"M{column} 0h1v1h-1z")
    return tuple((level, "".join(cells)) for level, cells in sorted(levels.items()))


def reasons(report: Report) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Why parameters have no gradient, or one of zeros: (reason, number of the finding or 0, names)."""
    silent = [p for p in report.trace.parameters.values() if _state(p) in ("none", "zero", "frozen")]
    groups: dict[tuple[str, int], list[str]] = defaultdict(list)
    for p in silent:
        groups[_reason(p, report.findings, report)].append(p.name)
    for (reason, number), names in groups.items():
        yield reason, number, tuple(names)


def _reason(p: ParameterTrace, findings: Sequence[Finding], report: Report) -> tuple[str, int]:
    if not p.trainable:
        return "frozen: requires_grad is False", 0
    for finding in findings:
        if p.name in finding.names or (p.layer and p.layer in finding.names):
            accepted = f" (accepted: {finding.suppressed})" if finding.suppressed is not None else ""
            number = 0 if accepted else report.active.index(finding) + 1
            return f"{finding.rule}: {finding.message}{accepted}", number
    kind = "no gradient arrived" if p.gradient is None else "a gradient of zeros"
    return f"{kind}; no finding names it ({p.role})", 0
