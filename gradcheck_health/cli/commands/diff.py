"""`gradhealth diff`: two runs of the same models, each a report, a baseline or a target, and what changed between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradcheck_health import baseline as baselines
from gradcheck_health import formats
from gradcheck_health.baseline import Baseline, files
from gradcheck_health.baseline.bounds import Bound, parse_all
from gradcheck_health.baseline.compare import compare
from gradcheck_health.baseline.document import is_baseline
from gradcheck_health.baseline.profile_of import profile_of
from gradcheck_health.baseline.regressions import regressions
from gradcheck_health.check.suppressions import accept
from gradcheck_health.cli.commands import _session
from gradcheck_health.cli.commands.report import MAX_BYTES
from gradcheck_health.cli.commands.report import read as read_reports
from gradcheck_health.cli.workers import pool
from gradcheck_health.formats._text import safe_lines
from gradcheck_health.records.errors import ExitCode, UsageError, describe_error
from gradcheck_health.records.files import read_regular, write
from gradcheck_health.records.finding import Severity, worst_first
from gradcheck_health.records.measurements import InputsTrace, LayerTrace
from gradcheck_health.records.profile import Profile
from gradcheck_health.records.report import Failure, NothingToCheck, Report
from gradcheck_health.records.trace import Trace
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.expand import expand


@dataclass
class Side:
    """What one of the two names stands for."""

    name: str
    baselines: list[Baseline] = field(default_factory=list)
    reports: list[Report | None] = field(default_factory=list)
    """In the order of `baselines`; None where a baseline is all there is."""
    failures: list[Failure] = field(default_factory=list)

    def add(self, report: Report) -> None:
        self.reports.append(report)
        known = {entry.key: entry.text for entry in baselines.entries(report.findings)}
        self.baselines.append(dataclasses.replace(baselines.of(report), accepted=known, path=self.name))


def run(request: _session.CheckRequest, show: _session.Write, tell: _session.Write, status: _session.Write) -> int:
    """Compare the two targets of the request, write every output, and say whether anything is worse.

    Returns:
        0: nothing is worse and nothing new is found; 1 otherwise; a side that cannot be measured gives its own code.

    Raises:
        UsageError: a side is no file of a run and no target, or the two have no model in common.
    """
    if len(request.targets) != 2:
        raise UsageError(f"diff compares two runs, got {len(request.targets)}: gradhealth diff main.json branch.json")
    writers = [(path, formats.find(path)) for path in request.outputs]
    form = formats.find(request.output_format or "terminal")
    before, after = (_side(name, request, tell, status) for name in request.targets)
    status("")
    bounds = parse_all(_fail_if(request))
    pairs, alone = _pairs(before, after)
    failures = [*before.failures, *after.failures]
    if not pairs and not failures:
        raise UsageError(f"{before.name} and {after.name} have no model in common: {'; '.join(alone)}")
    for line in alone:
        tell(f"not compared: {safe_lines(line)}\n")
    try:
        reports = [_compared(old, new, report, bounds) for old, new, report in pairs]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        names = f"{before.name} and {after.name}"
        raise UsageError(
            f"{names} hold values that cannot be compared: {describe_error(error).partition(chr(10))[0]}"
        ) from error
    failed = max((failure.exit_code for failure in failures), default=ExitCode.HEALTHY)
    code = failed or int(not all(report.ok for report in reports) and not request.exit_zero)
    for failure in failures:
        tell(f"failed: {safe_lines(_session.message(failure))}\n")
    if request.output_format in (None, "terminal"):
        for i, report in enumerate(reports):
            _session.show_report(report, request, show, first=i == 0)
    else:
        show(formats.render_run(form, reports, failures, code))
    written = [write(path, formats.render_run(module, reports, failures, code), tell) for path, module in writers]
    return code if all(written) else max(code, ExitCode.USAGE)


def _fail_if(request: _session.CheckRequest) -> Sequence[str]:
    tables = [source.table.get("rules") or {} for source in request.sources]
    found = [table[baselines.RULE].get("fail_if", ()) for table in tables if baselines.RULE in table]
    return found[-1] if found else ()


def _side(name: str, request: _session.CheckRequest, tell: _session.Write, status: _session.Write) -> Side:
    """A report or baseline by its file, or what a check of a target gives now."""
    side = Side(name)
    path = Path(name)
    if path.suffix in (".json", ".html"):
        if path.suffix == ".json" and path.is_file() and is_baseline(read_regular(path, MAX_BYTES)):
            side.baselines.append(files.read(path))
            side.reports.append(None)
            return side
        reports, side.failures, _ = read_reports([path])
        for report in reports:
            side.add(report)
        return side
    sources, config = _session.settings(request)
    sources.append(Source("gradhealth diff", {"baseline": None}))
    nothing: list[NothingToCheck] = []
    for target, from_folder in expand([name]):
        status(f"measuring {target}")
        for result in pool.measure(target, sources, config.timeout, tell):
            if isinstance(result, Report):
                side.add(result)
            elif isinstance(result, Failure):
                side.failures.append(result)
            else:
                nothing.append(result)
        if not from_folder and not side.reports and not side.failures:
            side.failures += [Failure(one.target, one.message, ExitCode.USAGE) for one in nothing]
    return side


def _pairs(before: Side, after: Side) -> tuple[list[tuple[Baseline, Baseline, Report | None]], list[str]]:
    """The same target on both sides; one model on each side is the same whatever it is called. And who has no partner."""
    left = list(before.baselines)
    pairs = []
    alone = []
    single = len(left) == len(after.baselines) == 1
    for new, report in zip(after.baselines, after.reports, strict=True):
        same = (old for old in left if single or (old.target, old.model) == (new.target, new.model))
        old = next(same, None) or next(
            (old for old in left if old.target.rpartition(":")[2] == new.target.rpartition(":")[2]), None
        )
        if old is None:
            alone.append(f"{new.target or new.model} is only in {after.name}")
        else:
            left.remove(old)
            pairs.append((old, new, report))
    return pairs, [*alone, *(f"{old.target or old.model} is only in {before.name}" for old in left)]


def _compared(old: Baseline, new: Baseline, report: Report | None, bounds: Sequence[Bound]) -> Report:
    """The later run as a report in which only what changed fails."""
    made = _skeleton(new) if report is None else report
    trace = dataclasses.replace(made.trace, reference=old.profile)
    notes = baselines.comparable(old, new.environment, trace)
    if len(old.profile.seeds) == len(new.profile.seeds) == 1:
        notes.append("neither run measured the spread over seeds: the tolerance is half a decade")
    found = [finding for finding in made.findings if finding.rule != baselines.RULE]
    accepted, unmatched = accept(found, dict.fromkeys(old.accepted, f"in {old.path} too"), made.rules)
    fresh = baselines.entries(finding for finding in accepted if finding.suppressed is None)
    if report is None:
        fresh = baselines.gone(new.accepted, [key for key in new.accepted if key not in old.accepted])
        unmatched = tuple(key for key in old.accepted if key not in new.accepted)
    now = new.profile if report is None else profile_of(trace)
    shifts, aligned, _ = compare(old.profile, now, bounds)
    worse = list(regressions(trace, [shift for shift in shifts if shift.fails], aligned, now))
    change = baselines.change(old, now, bounds, new=fresh, missing=baselines.gone(old.accepted, unmatched), notes=notes)
    ordered = worst_first([*accepted, *worse])
    return dataclasses.replace(made, trace=trace, findings=ordered, change=dataclasses.replace(change, target=""))


def _skeleton(baseline: Baseline) -> Report:
    """As much of a report as a baseline knows."""
    profile: Profile = baseline.profile
    layers = {level.name: LayerTrace(level.name, level.kind, i, 1) for i, level in enumerate(profile.levels)}
    inputs = InputsTrace(baseline.inputs, f"as in {baseline.path}", False, None)
    trace = Trace(baseline.model, layers, {}, (), (), (), inputs, baseline.objective, profile.seeds[0])
    return Report(
        model=baseline.model,
        target=baseline.target,
        findings=(),
        trace=trace,
        rules=baseline.rules,
        seed=profile.seeds[0],
        rounds=len(profile.seeds),
        fail_on=Severity.ERROR,
        environment=baseline.environment,
    )
