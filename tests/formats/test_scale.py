"""What formats show of a sweep, on made-up numbers."""

from __future__ import annotations

import dataclasses
import math

import pytest

from gradcheck_health import Report
from gradcheck_health.check.scale.fit import checked, depth_fit, layer_slopes
from gradcheck_health.formats import _scale, html, markdown, terminal
from gradcheck_health.formats._page.scale_chart import scale_view
from gradcheck_health.records.scale import DepthFit, LayerSlope, Scale, SizePoint
from gradcheck_health.rules.analysis import depth_scale
from tests.support import replay


def report_on(scale: Scale) -> Report:
    trace = dataclasses.replace(next(iter(replay.stored().values()))[0], scale=scale)
    return Report("Net", "model.py:build", (), trace, ())


def swept(*, name: str = "2") -> Scale:
    points = [
        SizePoint(
            d, 16, (10**-d, 10 ** (-d * 1.1)), lowest=1e-4, parameters=1_234_567, flops=3 * 10**9, seconds=2.0, memory=10**4
        )
        for d in (1, 2, 3)
    ]
    points[0] = dataclasses.replace(points[0], changes={name: (0.1,), "flat": (1.0,)})
    points.append(dataclasses.replace(points[0], width=32, changes={name: (0.2,), "flat": (1.0,)}))
    fit = depth_fit(points[:3])
    assert fit is not None
    fit = checked(fit, SizePoint(4, 16, (1e-4,)))
    slopes = layer_slopes(points, {name: "Linear", "flat": "ReLU"})
    skipped = SizePoint(8, 16, skipped="did not fit")
    return Scale((*points, skipped), "depth", "width", fit, slopes, (16, 32), 2, "Adam(lr=0.001)", 3, ("why not",))


def test_rows_are_short_numbers_and_reasons() -> None:
    rows = _scale.size_rows(swept())
    assert rows[0] == ("1", "16", "1.23M", "3G", "2 s", "10kB", "0.1")
    assert rows[-1] == ("8", "16", "-", "-", "-", "-", "left out: did not fit")


def test_verdicts_stand_beside_the_flow() -> None:
    scale = dataclasses.replace(
        swept(),
        points=(
            SizePoint(1, None, (1e-9,), lowest=1e-4),
            SizePoint(2, None, (1e9,), highest=1e4, kicked=True),
            SizePoint(3, None),
        ),
    )
    assert [row[-1] for row in _scale.size_rows(scale)] == ["1e-09 vanishing", "1e+09 exploding (kicked)", "not judged"]


def test_layers_beyond_the_steepest_are_counted() -> None:
    slopes = tuple(LayerSlope(str(i), "Linear", 1.0 - i / 10, 0.1) for i in range(10))
    rows = _scale.slope_rows(dataclasses.replace(swept(), slopes=slopes))
    assert rows[0] == ("0 (Linear)", "+1.00 +- 0.10") and rows[-1] == ("and 2 more", "up to 0.20")


@pytest.mark.slow
def test_page_draws_fit_limit_and_check() -> None:
    view = scale_view(report_on(swept()))
    assert view is not None
    depth, width = view.charts
    assert depth.fitted.startswith("M") and depth.limit and depth.mark.endswith("h0") and depth.axis == "depth"
    assert [tick.label for tick in depth.x_ticks] == ["1", "2", "3", "4"]
    assert [curve.name for curve in width.curves] == ["2 (+1.00)", "flat (+0.00)"]
    assert "Depth and width" in html.render(report_on(swept()))


@pytest.mark.slow
def test_hostile_names_stay_text() -> None:
    report = report_on(swept(name="<script>alert(1)</script>\x1b[2J|"))
    page, screen, table = html.render(report), terminal.render(report), markdown.render(report)
    assert "<script>alert(1)" not in page and "\x1b" not in screen and "\x1b" not in table
    assert [line for line in screen.splitlines() if len(line) > 80] == []


@pytest.mark.slow
def test_a_sweep_that_shows_nothing_is_rendered_all_the_same() -> None:
    nothing = Scale((SizePoint(1, None, skipped="no"), SizePoint(2, None, (math.nan,), skipped="")), notes=("nothing",))
    for render in (html.render, terminal.render, markdown.render):
        assert "nothing" in render(report_on(nothing))


@pytest.mark.parametrize(
    ("fit", "rate", "limit"),
    [
        (
            DepthFit("exponential", 0.0, -0.25, 0.01, (2, 4, 8), 1e-4, "vanishing-gradient", 16.0, 15.0, 17.0),
            "half of the gradient is lost every 1.2 layers (-0.25 +- 0.01 decades a layer)",
            "16 layers (95 %: 15 to 17), where it falls below 0.0001 (vanishing-gradient)",
        ),
        (
            DepthFit("exponential", 0.0, 0.1, math.inf, (2, 4), 1e4, "exploding-gradient", 40.0),
            "the gradient doubles every 3 layers (0.1 decades a layer)",
            "40 layers (95 %: 1 to more than 10000), where it rises above 1e+04 (exploding-gradient)",
        ),
        (DepthFit("power", 0.0, 0.5, 0.1, (2, 4, 8)), "with the depth to the power 0.5 +- 0.1", "none below 10000 layers"),
        (DepthFit("none", 0.0, 0.01, 0.1, (2, 4, 8)), "no change with depth", "none: what was measured predicts no depth"),
    ],
)
def test_fit_in_words(fit: DepthFit, rate: str, limit: str) -> None:
    assert rate in depth_scale.rate(fit) and limit in depth_scale.limit(fit) and depth_scale.check(fit) == ""
