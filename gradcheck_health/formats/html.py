"""HTML: one file that needs no network, with the flow as pictures, every finding at its source line, and the run inside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gradcheck_health.formats import _remedies
from gradcheck_health.formats import json as json_format
from gradcheck_health.formats._page.chart import sparks
from gradcheck_health.formats._page.payload import EXACT_ENTRIES, entries, pack, slim
from gradcheck_health.formats._page.view import view
from gradcheck_health.formats._page.visible import breakable, count, number, percent, visible
from gradcheck_health.records.report import Failure, Report

SUFFIX = ".html"
_FOLDER = Path(__file__).with_name("_page")


def render(report: Report) -> str:
    """The page of one report."""
    return render_run([report], [], int(not report.ok))


def render_run(reports: Sequence[Report], failures: Sequence[Failure], exit_code: int) -> str:
    """One page for every report of a run."""
    style, script = _asset("style.css"), _asset("script.js")
    # hashes, no 'unsafe-inline': what a name smuggles into the page does not run, whatever else went wrong
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    run = json_format.document([slim(report) for report in reports], failures, exit_code)
    exact = sum(map(entries, reports)) <= EXACT_ENTRIES
    page = _templates().get_template("page.html")
    views = [view(report, i) for i, report in enumerate(reports)]
    return page.render(
        views=views,
        sparks=sparks([one.chart for one in views]),
        failures=failures,
        exit_code=exit_code,
        policy=policy,
        style=Markup(style),
        script=Markup(script),
        packed=Markup(pack(run, exact=exact)),
    )


def fragment(report: Report) -> str:
    """Verdict and flow without script or style sheet, for a page that is not ours (a notebook)."""
    return _templates().get_template("fragment.html").render(view=view(report, 0))


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters.update(breakable=breakable, number=number, percent=percent, many=count, cost=_remedies.cost)
    return templates


@cache
def _asset(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
