"""GitHub Actions: what a run says there without being asked, annotations and the summary of the job."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from gradcheck_health.records.files import append
from gradcheck_health.records.report import Failure, Report

MAX_SUMMARY = 900_000
"""Bytes of a step's summary; the forge refuses the whole of one above 1 MiB."""


def is_github() -> bool:
    """This process runs in a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def summarize(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int, tell: Callable[[str], None]) -> None:
    """Append the run to the summary of the step, as far as there is room; nothing where the forge named no file."""
    from gradcheck_health.formats import markdown

    named = os.environ.get("GITHUB_STEP_SUMMARY")
    if not named:
        return
    path = Path(named)
    try:
        there = path.stat().st_size if path.exists() else 0
        if there >= MAX_SUMMARY - 1000:
            return
        append(path, markdown.cut(markdown.render_run(reports, failures, exit_code), MAX_SUMMARY - there))
    except OSError as error:
        tell(f"error: the summary {path} cannot be written: {error.strerror or error}\n")
