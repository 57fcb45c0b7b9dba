"""At the end of a run: a line for each model that was checked, and the files that `--gradhealth-report` names.

Results come as properties of pytest's own reports, and whole reports as JSON beside them, so that the tests may run in other
processes; only the process that shows the results writes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gradcheck_health.pytest_plugin.outcome import FAILURES, NOT_CHECKED, REPORTS

COLLECTED = pytest.StashKey["_Collected"]()
CARRIED, CARRIED_FAILURES = "gradhealth_reports", "gradhealth_failures"
"""The attributes of a test's report that carry ours, and what could not be checked."""
ACCEPT = "--gradhealth-update"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradhealth", "gradient health (gradcheck_health)")
    group.addoption(
        "--gradhealth-report",
        action="append",
        metavar="FILE",
        default=[],
        help="write the reports of all tests to a file; its suffix is the format; repeatable",
    )
    group.addoption("--gradhealth-subtests", action="store_true", help="show each rule as a subtest of its own")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _refuse_wrong_files(config)
        config.stash[COLLECTED] = collected = _Collected()
        config.pluginmanager.register(collected, f"{__name__}.collected")


def _refuse_wrong_files(config: pytest.Config) -> None:
    """What `--gradhealth-report` names can be written, or nothing runs: the end of a long run is too late to say so."""
    if not (named := config.getoption("gradhealth_report")):
        return
    from gradcheck_health import formats
    from gradcheck_health.records.errors import UsageError

    for file in map(Path, named):
        try:
            formats.find(file)
        except UsageError as error:
            raise pytest.UsageError(f"--gradhealth-report: {error}") from None
        if not file.absolute().parent.is_dir():
            raise pytest.UsageError(f"--gradhealth-report {file}: there is no folder {file.parent}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" and item.config.getoption("gradhealth_report"):
        setattr(report, CARRIED, [one.to_json() for one in item.stash.get(REPORTS, [])])
        setattr(report, CARRIED_FAILURES, [dataclasses.asdict(one) for one in item.stash.get(FAILURES, [])])
    return report


@dataclass(eq=False)  # plugins are looked up in a set
class _Collected:
    """What the tests said."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(node id, properties), one for each model."""
    reports: list[str] = field(default_factory=list)
    not_checked: list[tuple[str, str]] = field(default_factory=list)
    """(node id, target and reason)."""
    failures: list[dict[str, Any]] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or hasattr(report, "context"):  # a subtest repeats the properties of its test
            return
        self.lines += [(report.nodeid, model) for model in _models(report.user_properties)]
        self.not_checked += [(report.nodeid, str(value)) for name, value in report.user_properties if name == NOT_CHECKED]
        self.reports += getattr(report, CARRIED, [])
        self.failures += getattr(report, CARRIED_FAILURES, [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    collected = session.config.stash.get(COLLECTED, None)
    files = session.config.getoption("gradhealth_report")
    if collected is None or not files:
        return
    from gradcheck_health import formats
    from gradcheck_health.records.files import replace
    from gradcheck_health.records.launch import writes
    from gradcheck_health.records.report import Failure, Report

    if not writes():
        return
    reports = [Report.from_json(one) for one in collected.reports]
    failures = [Failure(**one) for one in collected.failures]
    code = max((one.exit_code for one in failures), default=int(not all(one.ok for one in reports)))
    for file in map(Path, files):
        text = formats.render_run(formats.find(file), reports, failures, code)
        replace(file, text)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    collected = config.stash.get(COLLECTED, None)
    if collected is None or not (collected.lines or collected.not_checked):
        return
    from gradcheck_health.records.launch import launcher, writes

    if not writes():
        return
    terminalreporter.section("gradient health")
    sick = [line for line in collected.lines if not line[1]["ok"]]
    shown = sick if config.get_verbosity() < 0 else collected.lines
    for text in map(_line, shown):
        terminalreporter.write_line(text, red=text.startswith("sick"), green=text.startswith("healthy"))
    for nodeid, reason in collected.not_checked:
        terminalreporter.write_line(_unchecked(nodeid, reason), red=True)
    if len(collected.lines) + len(collected.not_checked) > 1:
        terminalreporter.write_line(_counts(len(collected.lines), len(sick), len(collected.not_checked)))
    for file in config.getoption("gradhealth_report"):
        terminalreporter.write_line(f"report: {file}")
    if sick and hasattr(config.option, ACCEPT[2:].replace("-", "_")):
        from gradcheck_health.formats._text import quoted

        words = [quoted(str(one)) for one in config.invocation_params.args]
        terminalreporter.write_line(" ".join([f"accept: {launcher()}pytest", *words, ACCEPT]))


def _unchecked(nodeid: str, reason: str) -> str:
    from gradcheck_health.formats._text import escape, shorten

    first, _, _ = reason.partition("\\n")  # its lines were joined for the way between processes
    return f"not checked {shorten(escape(first), 120)}  {escape(nodeid)}"


def _counts(checked: int, sick: int, failed: int) -> str:
    more = f", {failed} not checked" if failed else ""
    return f"{checked} checked: {checked - sick} healthy, {sick} sick{more}"


def _models(properties: list[tuple[str, Any]]) -> Iterator[dict[str, Any]]:
    """The properties of each model; `model` is the first of each."""
    found: list[dict[str, Any]] = []
    for name, value in properties:
        head, _, key = name.partition(".")
        if name == NOT_CHECKED:
            continue
        if head == "gradhealth" and key == "model":
            found.append({key: value})
        elif head == "gradhealth" and found:
            found[-1][key] = value
    yield from found


def _line(entry: tuple[str, dict[str, Any]]) -> str:
    from gradcheck_health.formats._text import escape, shorten
    from gradcheck_health.records.wording import counted

    nodeid, model = entry
    verdict = "healthy" if model["ok"] else "sick   "
    counts = [counted(model[what], noun) for what, noun in (("errors", "error"), ("warnings", "warning")) if model[what]]
    counts += [f"{model['accepted']} accepted"] if model["accepted"] else []
    rules = f": {model['rules']}" if model["rules"] else ""
    said = f" ({', '.join(counts)}{rules})" if counts else ""
    return f"{verdict} {shorten(escape(model['model']), 40)}{shorten(escape(said), 90)}  {escape(nodeid)}"
