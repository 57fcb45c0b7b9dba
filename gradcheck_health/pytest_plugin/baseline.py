"""A baseline for each test: compared where the settings name a folder, written by `--gradhealth-update`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck_health.pytest_plugin import options

if TYPE_CHECKING:
    from gradcheck_health.baseline import Baseline
    from gradcheck_health.records.report import Report
    from gradcheck_health.settings.config import Config

WRITTEN = "gradhealth_baseline"
"""The property of a test report that names the baseline which the test wrote; it travels from the workers of xdist."""


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to write where nobody would review it, before any test runs."""
    if not _updating(config):
        return
    from gradcheck_health.baseline.files import refuse_in_ci
    from gradcheck_health.records.errors import UsageError

    try:
        refuse_in_ci()
    except UsageError as error:
        raise pytest.UsageError(f"--gradhealth-update: {error}") from None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for all baselines that were written."""
    reports = [report for group in terminalreporter.stats.values() for report in group if hasattr(report, "user_properties")]
    written = sorted({value for report in reports for name, value in report.user_properties if name == WRITTEN})
    if written:
        folders = ", ".join(sorted({str(Path(path).parent) for path in written}))
        noun = "baseline" if len(written) == 1 else "baselines"
        terminalreporter.write_line(f"gradhealth: {len(written)} {noun} written in {folders}: review and commit")


def check_beside(
    node: pytest.Item, name: str, model: Any, inputs: Any, config: Config, settings: Mapping[str, Any] | None = None
) -> Report:
    """`check_gradients`, compared with a baseline or writing it, where the settings or the options ask for either.

    Args:
        name: what the baseline is that of: a test, or a target of the command line.
        settings: further arguments of `check_gradients`.

    Raises:
        GradhealthError: as `check_gradients`, and where there is no baseline yet.
    """
    from gradcheck_health.baseline import files
    from gradcheck_health.check.api import check_gradients

    settings = settings or {}
    updating = _updating(node.config)
    place = config.baseline or _usual_place(node, name, config, updating)
    if place is None or "baseline" in settings:
        return check_gradients(model, inputs, config=config, **settings)
    path = files.path_for(place, name)
    if not updating or (path.exists() and options.given(node.config)["update_new_only"]):
        return check_gradients(model, inputs, config=config, baseline=files.required(path, name), **settings)
    from gradcheck_health.check.gate import accepting

    report = check_gradients(model, inputs, config=accepting(config, path), facts=["reseeded"], **settings)
    return _written(node, path, name, report)


def _usual_place(node: pytest.Item, name: str, config: Config, updating: bool) -> str | None:
    """Where `--gradhealth-update` writes when no setting says it, and where what it wrote is read by the next run."""
    from gradcheck_health.baseline import files

    folder = str(node.config.rootpath / _folder())
    switched_off = "baseline" in config.origins
    return folder if updating or (not switched_off and files.path_for(folder, name).exists()) else None


def nth(test: str, number: int) -> str:
    """The name of the baseline of a test's check; `number` counts from 0."""
    from gradcheck_health.baseline import TWICE

    return test + (f"{TWICE}{number + 1}" if number else "")


def _written(node: pytest.Item, path: Path, name: str, report: Report) -> Report:
    """Put what was found into the baseline, and take it as accepted from here on."""
    from gradcheck_health import baseline as baselines
    from gradcheck_health.baseline import files
    from gradcheck_health.records.launch import shown_elsewhere

    def changed(old: Baseline | None) -> Baseline:
        files.refuse_another(path, old, name)
        return baselines.of(report, before=old, target=name)

    if not shown_elsewhere(report.trace.ranks):
        files.update(path, changed)
    node.user_properties.append((WRITTEN, str(path)))
    known = {entry.key for entry in baselines.entries(report.active)}
    return dataclasses.replace(
        report,
        findings=tuple(
            dataclasses.replace(finding, suppressed=baselines.NO_REASON)
            if known & {entry.key for entry in baselines.entries([finding])}
            else finding
            for finding in report.findings
        ),
    )


def _updating(config: pytest.Config) -> bool:
    given = options.given(config)
    return bool(given["update"] or given["update_new_only"])


def _folder() -> str:
    from gradcheck_health.settings.config import FOLDER

    return FOLDER
