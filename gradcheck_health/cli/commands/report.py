"""`gradhealth report`: the run in a JSON file or an HTML page, written again in any format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcheck_health.formats._text import safe_lines
from gradcheck_health.records.codec import decode
from gradcheck_health.records.errors import ExitCode, UsageError
from gradcheck_health.records.files import read_regular
from gradcheck_health.records.finding import worst_first
from gradcheck_health.records.history import History
from gradcheck_health.records.measurements import InputsTrace
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import a_kind

MAX_BYTES = 2**30
MANY_ROWS = 40
EXIT_CODES = tuple(code for code in ExitCode if code is not ExitCode.READER_GONE)
"""What a document may hold: who has no reader writes none."""


def read(paths: Sequence[Path]) -> tuple[list[Report], list[Failure], int]:
    """The reports and failures of several files together, and the worst exit code.

    Raises:
        UsageError: a file is not there, or holds no report.
    """
    reports: list[Report] = []
    failures: list[Failure] = []
    code = int(ExitCode.HEALTHY)
    for path in paths:
        document = _document(path)
        if "history" in document:
            reports.append(_of_a_run(path))
            code = max(code, int(not reports[-1].ok))
            continue
        try:
            if "reports" in document:
                reports += [Report.from_dict(one) for one in document["reports"]]
                failures += [decode(Failure, one, "failures") for one in document.get("failures", ())]
                code = max(code, _exit_code(document), *(failure.exit_code for failure in failures))
            else:
                reports.append(Report.from_dict(document))
                code = max(code, int(not reports[-1].ok))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise UsageError(f"{path}: {error}") from error
    return reports, failures, code


def _of_a_run(path: Path) -> Report:
    """The verdict on a training loop out of the file that it wrote while it ran, whether or not it came to its end."""
    try:
        history = History.from_file(path)
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: {error}") from error
    findings = worst_first(one.finding for one in history.noticed)
    fed = InputsTrace("the loop's own", "the loop", made_up=False, batch=None)
    trace = Trace(history.model, {}, {}, (), (), (), fed, "the loop", 0, history=history, gaps=history.gaps)
    return Report(history.model, None, findings, trace, rules=history.rules)


def _exit_code(document: Mapping[str, Any]) -> int:
    """As it was written, where it can be one: 0 over findings is what `--exit-zero` gives."""
    code = int(document.get("exit_code", 0))
    if code not in EXIT_CODES:
        raise ValueError(f"exit_code: got {code}; allowed: {', '.join(map(str, EXIT_CODES))}")
    return code


def as_text(reports: Sequence[Report], failures: Sequence[Failure], width: int, blocks: bool) -> str:
    """For a terminal: all that `check -v` would have shown."""
    from gradcheck_health.formats import terminal

    texts = [terminal.render(one, width=width, verbose=True, rows=MANY_ROWS, blocks=blocks) for one in reports]
    return "\n".join([*texts, *(f"not checked: {safe_lines(f'{one.target}: {one.message}')}\n" for one in failures)])


def _document(path: Path) -> Mapping[str, Any]:
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"{path} cannot be read: {reason}") from error
    try:
        if text.lstrip()[:1] == "<":
            from gradcheck_health.formats._page.payload import unpack

            text = unpack(text)
        document = json.loads(text.partition("\n")[0] if text.startswith('{"history"') else text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}; allowed: what `gradhealth check -o FILE.json` or `-o FILE.html` wrote") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds {a_kind(document)}, not a report")
    return document
