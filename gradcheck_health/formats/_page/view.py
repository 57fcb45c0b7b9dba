"""What the template shows of one report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradcheck_health.formats import _remedies, _run, _wording
from gradcheck_health.formats._page.blocks import Blocks, blocks
from gradcheck_health.formats._page.chart import Chart, chart
from gradcheck_health.formats._page.excerpts import Excerpt, excerpt
from gradcheck_health.formats._page.parameters import Parameters, parameters, reasons
from gradcheck_health.formats._page.run_chart import RunChart, run_charts
from gradcheck_health.formats._page.scale_chart import ScaleView, scale_view
from gradcheck_health.formats._page.visible import count, percent
from gradcheck_health.formats._rule_docs import rule_doc
from gradcheck_health.records.finding import Finding, Place
from gradcheck_health.records.remedies import RemedyTrial
from gradcheck_health.records.report import Report

MAX_PLACES = 12
MAX_EXCERPTS = 3
_HEADING = re.compile(r"([A-Z][a-z ]{3,30}): (.*)")


@dataclass(frozen=True, slots=True)
class PlaceView:
    place: Place
    row: int | None
    """The first row of the parameter table that belongs to it; only rows with an active finding have an anchor."""


@dataclass(frozen=True, slots=True)
class FindingView:
    number: int
    """On the page; 0 for one that the user accepted."""
    finding: Finding
    places: tuple[PlaceView, ...]
    more: int
    """Places that are not shown."""
    excerpts: tuple[Excerpt, ...]
    accept: str
    """The key of an `ignore` entry."""
    details: tuple[tuple[str, str], ...]
    trials: tuple[RemedyTrial, ...]
    """Cures that were tried for it, the best first."""
    about: tuple[tuple[str, str], ...]
    """The rule in its own words: (heading or "", paragraph)."""


@dataclass(frozen=True, slots=True)
class View:
    index: int
    report: Report
    findings: tuple[FindingView, ...]
    accepted: tuple[FindingView, ...]
    chart: Chart | None
    runs: tuple[RunChart, ...]
    """Training runs over their steps."""
    scale: ScaleView | None
    """The sizes of a sweep."""
    blocks: Blocks | None
    parameters: Parameters
    reasons: tuple[tuple[str, int, tuple[str, ...]], ...]
    coverage: tuple[tuple[str, str], ...]
    repeat: str

    @property
    def title(self) -> str:
        return self.report.target or self.report.model

    @property
    def worst(self) -> str:
        """error, warning, note or healthy."""
        return self.findings[0].finding.severity.value if self.findings else "healthy"


def view(report: Report, index: int) -> View:
    """Of the report that stands `index`-th on the page."""
    rows = {name: i for i, name in enumerate(report.trace.parameters)}
    owners: dict[str, int] = {}
    for i, p in enumerate(report.trace.parameters.values()):
        owners.setdefault(p.layer, i)
    active = [_finding(report, i, finding, rows, owners) for i, finding in enumerate(report.active, 1)]
    accepted = [_finding(report, 0, finding, rows, owners) for finding in report.findings if finding.suppressed is not None]
    return View(
        index=index,
        report=report,
        findings=tuple(active),
        accepted=tuple(accepted),
        chart=chart(report),
        runs=run_charts(report),
        scale=scale_view(report),
        blocks=blocks(report),
        parameters=parameters(report),
        reasons=tuple(reasons(report)),
        coverage=tuple(_coverage(report)),
        repeat=_wording.repeat_command(report),
    )


def _finding(report: Report, number: int, finding: Finding, rows: dict[str, int], owners: dict[str, int]) -> FindingView:
    shown = finding.places[:MAX_PLACES]
    by_source: dict[str, Place] = {}
    for place in shown:
        by_source.setdefault(place.source or "", place)
    return FindingView(
        number,
        finding,
        tuple(PlaceView(place, rows.get(place.name, owners.get(place.name)) if number else None) for place in shown),
        len(finding.places) - len(shown),
        tuple(found for place in by_source.values() if (found := excerpt(place)) is not None)[:MAX_EXCERPTS],
        _wording.accept_key(finding),
        _remedies.details(report, finding),
        tuple(_remedies.trials_of(report, finding)),
        _about(finding.rule),
    )


def _about(rule: str) -> tuple[tuple[str, str], ...]:
    doc = rule_doc(rule)
    paragraphs = [] if doc is None else [" ".join(text.split()) for text in doc.text.split("\n\n")]
    return tuple((found[1], found[2]) if (found := _HEADING.match(text)) else ("", text) for text in paragraphs)


def _coverage(report: Report) -> Iterator[tuple[str, str]]:
    trace = report.trace
    if trace.layers:  # otherwise a loop was watched, and no pass looked at
        yield from _of_the_pass(report)
    if trace.history is not None:
        yield "trained", _run.line(trace.history)
    for name, taken in trace.facts.items():
        yield f"fact {name}", count(len(taken), "further measurement") if taken else "could not be measured"
    for gap in trace.gaps:
        yield "not seen", gap
    for left in report.unrestored:
        yield "not restored", left
    for entry in report.unmatched:
        yield "unused ignore", f"{entry} matched nothing: remove it"


def _of_the_pass(report: Report) -> Iterator[tuple[str, str]]:
    trace = report.trace
    hint = "; pass inputs= for real ones" if trace.inputs.made_up else ""
    yield "inputs", f"{trace.inputs.description} ({trace.inputs.origin}{hint})"
    yield "objective", trace.objective + ("" if trace.loss is None else f", {trace.loss:.4g}")
    yield "mode", "training" if trace.training else "eval"
    yield "seed and rounds", f"seed {report.seed}, {count(report.rounds, 'round')}"
    trainable = [p for p in trace.parameters.values() if p.trainable]
    reached = [p for p in trainable if p.gradient is not None]
    numbers = sum(p.value.numel for p in trainable)
    share = sum(p.value.numel for p in reached) / numbers if numbers else None
    yield (
        "reached",
        f"{len(reached)} of {count(len(trainable), 'trainable parameter')}, {percent(share)} of {count(numbers, 'number')}",
    )
    if frozen := len(trace.parameters) - len(trainable):
        yield "frozen", count(frozen, "parameter")
    called = sum(layer.calls > 0 for layer in trace.layers.values())
    yield "modules", f"{called} of {len(trace.layers)} called"
    yield "flow", f"{count(len(trace.flow), 'point')}, {trace.flow_by}" + (f"; {trace.flow_note}" if trace.flow_note else "")
    for output in trace.outputs:
        shape = ", ".join(map(str, output.shape))
        told = "in the objective" if output.probed else f"not in the objective: {output.why}"
        yield f"output {output.path}".rstrip(), f"{output.dtype}[{shape}], {told}"
