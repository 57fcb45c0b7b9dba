"""Plain text for people: the failure message of an assertion and what the command line prints. ASCII only, same every time."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from gradcheck_health.formats import _change, _remedies, _run, _scale
from gradcheck_health.formats._flow import bars
from gradcheck_health.formats._text import defuse, escape, shorten, wrap
from gradcheck_health.formats._wording import MAX_NAMES, accept_command, places, repeat_command, typed, worth_showing
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.launch import shown_elsewhere
from gradcheck_health.records.measurements import CutPoint
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import counted

SUFFIX = ".txt"
MAX_PROSE = 120
"""Columns beyond which a line of text is hard to read; a picture may be wider."""
LABEL = 11
"""Columns of a detail's label: "confirmed" and two spaces."""


def render(
    report: Report,
    *,
    width: int = 80,
    verbose: bool = False,
    repeat: str | None = None,
    rows: int = 0,
    blocks: bool = False,
) -> str:
    """The verdict on one model.

    Args:
        width: columns; commands to copy are never broken, whatever it is, and prose is never wider than 120.
        verbose: notes, and findings that the user accepted, with their reasons.
        repeat: the command that runs this again, where the caller knows one.
        rows: lines of the picture of the flow, at most; no picture where it is 0.
        blocks: draw it with block characters instead of ASCII.
    """
    drawn = _drawn(report, width, rows, blocks)
    width = min(width, MAX_PROSE)
    shown = report.active if verbose else worth_showing(report)
    lines = [_headline(report, shown, width)]
    if not shown:
        lines += _flow(report, width)
    for finding in shown:
        lines += ["", *_finding(report, finding, width)]
    if shown or drawn:
        lines += ["", *drawn, *([""] if drawn else [])]
    if report.trace.scale is not None:
        lines += [*([""] if lines[-1] else []), *_scale.lines(report.trace.scale, width), ""]
    lines += _footer(report, shown, width, verbose, repeat)
    return "\n".join(defuse(line.rstrip()) for line in lines) + "\n"


def render_once(report: Report) -> str:
    """The verdict, of which the other ranks that found it together show the first line only."""
    if not shown_elsewhere(report.trace.ranks):
        return render(report)
    return f"{_headline(report, worth_showing(report), MAX_PROSE)}: the report is that of rank 0\n"


def render_run(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """A run: one report after another, and a line for each target that could not be checked."""
    rows = not_checked(failures)
    return "\n".join([*map(render, reports), *(["\n".join(rows) + "\n"] if rows else [])])


def not_checked(failures: Sequence[Failure]) -> list[str]:
    """A line for each: the target and the first line of the reason."""
    shown = [(one.target, one.message.partition("\n")[0].removeprefix(f"{one.target}: ")) for one in failures]
    return [defuse(f"not checked: {escape(target)}: {escape(reason)}") for target, reason in shown]


def _drawn(report: Report, width: int, budget: int, blocks: bool) -> list[str]:
    picture = bars.picture(report, width=width, budget=budget, blocks=blocks) if budget else []
    title = "gradient norm at each layer's output, relative to the last, on a log scale:"
    return [*wrap(title, width), *picture] if picture else []


def _headline(report: Report, shown: Sequence[Finding], width: int) -> str:
    """Rule names first, because summaries cut the line behind them."""
    model = defuse(escape(report.model))
    if not shown:
        accepted = len(report.findings) - len(report.active)
        apart = f" apart from {counted(accepted, 'accepted finding')}" if accepted else ""
        verdict = f": no unhealthy gradient found{apart} ({counted(len(report.rules), 'rule')} ran)"
        return shorten(model, max(22, width - len(verdict))) + verdict
    counts = ", ".join(counted(n, str(severity)) for severity in Severity if (n := sum(f.severity is severity for f in shown)))
    names = list(dict.fromkeys(defuse(escape(finding.rule)) for finding in shown))
    for kept in range(len(names), 0, -1):
        more = f" and {len(names) - kept} more" if kept < len(names) else ""
        head = f"{', '.join(names[:kept])}{more} in {shorten(model, 30)} ({counts})"
        if len(head) <= width:
            return head
    rest = f"{more} in {shorten(model, 12)} ({counts})"
    return shorten(names[0], width - len(rest) - 3) + rest


def _finding(report: Report, finding: Finding, width: int) -> Iterator[str]:
    yield from wrap(f"{finding.severity}: {escape(finding.rule)}: {escape(finding.message)}", width, hang=4)
    labels = {label for label, _ in finding.details}
    if finding.places and not labels & {"starts", "at"}:
        yield from _labelled("at", places(finding.places, width - LABEL - 4), width)
    for label, text in _remedies.details(report, finding):
        yield from _labelled(escape(label), escape(text), width)
    if finding.suppressed is not None:
        yield from _labelled("accepted", escape(finding.suppressed), width)


def _labelled(label: str, text: str, width: int) -> list[str]:
    return wrap(text, width, first=f"    {shorten(label, 20).ljust(LABEL - 2)}  ", hang=4 + LABEL)


def _flow(report: Report, width: int) -> Iterator[str]:
    trace = report.trace
    if trace.flow_note:
        yield from _labelled("flow", f"not judged: {escape(trace.flow_note)}", width)
    elif len(trace.flow) > 1 and trace.flow[-1].gradient:
        first, last = trace.flow[0], trace.flow[-1]
        ends = f"{_end(last)} to {_end(first)}" if first.layer != last.layer else _end(first)
        what = f"the gradient {_kept(trace)} from {ends} ({len(trace.flow)} {trace.flow_by})"
        moved = (one for fact in ("kicked", "woken") for one in trace.facts.get(fact, ()) if first.gradient == 0)
        kicked = next((one for one in moved if one.flow and one.flow[-1].gradient), None)
        if kicked is not None:
            what += f"; once the weights that are 0 at the start have moved, it {_kept(kicked)}"
        yield from _labelled("flow", what, width)
    reached = [p for p in trace.parameters.values() if p.trainable and trace.layers]
    if reached:
        got = sum(p.gradient is not None for p in reached)
        yield from _labelled("reached", f"{got} of {counted(len(reached), 'trainable parameter')}", width)


def _kept(trace: Trace) -> str:
    kept = trace.flow[0].gradient / trace.flow[-1].gradient
    return f"keeps {kept:.2g} of its norm" if kept <= 1 else f"grows {kept:.2g} x"


def _end(point: CutPoint) -> str:
    """The layer at one end of the flow; an operation of the model's own forward by its name."""
    return shorten(escape(point.layer), 40) or f"forward ({shorten(escape(point.op), 40)})"


def _footer(report: Report, shown: Sequence[Finding], width: int, verbose: bool, repeat: str | None) -> Iterator[str]:
    trace = report.trace
    if report.made_up_arguments:
        built = ", ".join(f"{escape(name)}={escape(value)}" for name, value in report.made_up_arguments.items())
        first = escape(next(iter(report.made_up_arguments)))
        yield from _line("built", f"with {built}, made up (pass --arg {first}=... for real ones)", width)
    if sizes := report.environment.get("shrunk"):
        yield from _line("shrunk", f"{escape(sizes)}: a smaller twin, which says nothing of depth", width)
    by_command = typed(report)
    hint = f" ({'give --input' if by_command else 'pass inputs='} for real ones)" if trace.inputs.made_up else ""
    fed = f"{escape(trace.inputs.description)}, {escape(trace.inputs.origin)}{hint}"
    yield from _line("inputs", f"{fed}; seed {report.seed}; {counted(report.rounds, 'round')}", width)
    if trace.history is not None:
        yield from _line("trained", escape(_run.line(trace.history)), width)
    if trace.gaps:
        seen = "; ".join(escape(gap) for gap in trace.gaps[:MAX_NAMES])
        more = len(trace.gaps) - MAX_NAMES
        yield from _line(
            "not seen", f"{counted(len(trace.gaps), 'region')}: {seen}" + (f"; and {more} more" if more > 0 else ""), width
        )
    if report.unrestored:
        yield from _line("not restored", "; ".join(map(escape, report.unrestored)), width)
    yield from _accepted(report, width, verbose)
    if report.change is not None:
        yield from _change.lines(report.change, width, verbose=verbose, new=not report.findings)
    notes = _notes(report.active) - _notes(shown)
    if notes:
        yield from _line("notes", f"{notes}, not shown ({'-v' if by_command else 'report.findings'} shows them)", width)
    failing = list(filter(report.fails, shown)) or list(shown)
    if failing:
        # lines to copy: never broken
        yield f"{'repeat:':9}{repeat or repeat_command(report)}"
        yield f"{'explain:':9}gradhealth explain {shlex.quote(escape(failing[0].rule))}"
        found = [finding for finding in failing if "expected" not in dict(finding.details)]  # absent: nothing to accept
        if found:
            yield f"{'accept:':9}{accept_command(report, found[-1])}"


def _notes(findings: Sequence[Finding]) -> int:
    return sum(finding.severity is Severity.NOTE for finding in findings)


def _line(label: str, text: str, width: int) -> list[str]:
    return wrap(text, width, first=f"{label + ':':9}" if len(label) < 8 else f"{label}: ", hang=9)


def _accepted(report: Report, width: int, verbose: bool) -> Iterator[str]:
    accepted = [finding for finding in report.findings if finding.suppressed is not None]
    if accepted:
        rules = ", ".join(dict.fromkeys(escape(finding.rule) for finding in accepted))
        yield from _line("accepted", f"{counted(len(accepted), 'finding')} of {rules}", width)
    for finding in accepted if verbose else ():
        where = f" at {places(finding.places)}" if finding.places else ""
        yield from wrap(f"{escape(finding.rule)}{where}: {escape(finding.suppressed or '')}", width, first=" " * 9)
    for entry in report.unmatched:
        yield from _line("unused", f"ignore entry {escape(entry)!r} matched nothing: remove it", width)
