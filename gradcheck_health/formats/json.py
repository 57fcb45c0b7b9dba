"""JSON: strict (no NaN, ASCII only), versioned, described by `report.schema.json`; `Report.from_json` reads a report back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gradcheck_health.records.codec import encode
from gradcheck_health.records.report import SCHEMA, Failure, Report

SUFFIX = ".json"


def render(report: Report) -> str:
    """One report."""
    return _dump(report.to_dict())


def render_run(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """A run of the command line: every report, every target that has none, and the exit code."""
    return _dump(document(reports, failures, exit_code))


def document(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "schema": SCHEMA,
        "exit_code": exit_code,
        "reports": [report.to_dict() for report in reports],
        "failures": [encode(failure) for failure in failures],
    }


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=True, indent=1) + "\n"
