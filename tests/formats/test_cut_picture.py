"""The picture of a cut shows the cut and its dark side; limits far away leave the space to what was measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from gradcheck_health import Report, check_gradients
from gradcheck_health.formats._flow.stretches import dark_side, near_limits
from gradcheck_health.formats._page.blocks import blocks
from gradcheck_health.formats._page.chart import chart, sparks
from gradcheck_health.formats.html import fragment, render


class _Cut(nn.Module):
    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
        self.cut = cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.encoder(x)
        return self.decoder(h.detach() if self.cut else h)  # type: ignore[no-any-return]


def _report(cut: bool) -> Report:
    torch.manual_seed(0)
    return check_gradients(_Cut(cut), torch.randn(16, 8), seed=0)


@pytest.fixture(scope="module")
def cut() -> Report:
    return _report(True)


def test_the_stream_ends_at_the_cut(cut: Report) -> None:
    drawn = blocks(cut)
    assert drawn is not None
    rows = {row.name: row for row in drawn.rows}
    for name in ("encoder.0", "encoder.1", "encoder.2"):
        assert (rows[name].state, rows[name].stream) == ("dark", "")
    assert rows["encoder.2"].cut.startswith("cut: detach, ") and "test_cut_picture.py:28" in rows["encoder.2"].cut
    assert all(rows[name].stream and not rows[name].cut for name in ("decoder.0", "decoder.1", "decoder.2"))


def test_the_chart_begins_behind_the_cut(cut: Report) -> None:
    drawn = chart(cut)
    assert drawn is not None
    assert "no gradient arrives at 4 parameters (detach, " in drawn.dark
    assert 90 < float(drawn.cut_at) < float(drawn.left) < 700
    assert drawn.gradient.path.startswith(f"M{drawn.left} ")
    for text in (render(cut), fragment(cut)):
        assert "lies what is cut off: no gradient arrives at 4 parameters" in text


def test_nothing_is_dark_where_the_gradient_arrives() -> None:
    whole = _report(False)
    drawn, rows = chart(whole), blocks(whole)
    assert dark_side(whole.trace) is None
    assert drawn is not None and (drawn.dark, drawn.cut_at, drawn.left) == ("", "", "90")
    assert rows is not None and all(row.state != "dark" for row in rows.rows)
    assert "lies what is cut off" not in render(whole)


def test_a_far_limit_takes_no_space() -> None:
    near, far = near_limits({"exploding-gradient": 2e4, "vanishing-gradient": 8e-5}, [0.2, 1.0])
    assert (list(near), list(far)) == (["vanishing-gradient"], ["exploding-gradient"])
    near, far = near_limits({"exploding-gradient": 2e4}, [500.0, 1.0])
    assert (list(near), list(far)) == (["exploding-gradient"], [])


def test_lines_of_several_models_share_a_scale(cut: Report) -> None:
    steep = dataclasses.replace(cut, trace=dataclasses.replace(cut.trace, flow=_flow(cut, 1e-9)))
    flat = dataclasses.replace(cut, trace=dataclasses.replace(cut.trace, flow=_flow(cut, 0.5)))
    one, other, none = sparks([chart(steep), chart(flat), None])
    heights = [[float(point.split()[1]) for point in path[1:].split("L")] for path in (one, other)]
    assert max(heights[0]) - min(heights[0]) > 10 * (max(heights[1]) - min(heights[1])) > 0
    assert none == ""


def _flow(report: Report, first: float) -> tuple[object, ...]:
    flow = report.trace.flow
    return (dataclasses.replace(flow[0], gradient=first), *(dataclasses.replace(p, gradient=1.0) for p in flow[1:]))


def test_labels_of_the_depth_do_not_overlap() -> None:
    deep = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4)) for _ in range(5)])
    named = nn.ModuleDict({"a_rather_long_name_of_a_part": deep})["a_rather_long_name_of_a_part"]
    drawn = chart(check_gradients(named, torch.randn(8, 4)))
    assert drawn is not None
    places = [float(tick.at) for tick in drawn.depth_ticks]
    assert all(b - a > 4 for a, b in zip(places, places[1:], strict=False))


@pytest.mark.slow
def test_a_plot_marks_findings_and_the_cut(cut: Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    axes = cut.plot(tmp_path / "cut.png").axes[0]
    labels = axes.get_legend_handles_labels()[1]
    assert any(label.startswith("cut off: ") for label in labels)
    torch.manual_seed(0)
    vanishing = nn.Sequential(*[layer for _ in range(12) for layer in (nn.Linear(8, 8), nn.Sigmoid())], nn.Linear(8, 2))
    labels = check_gradients(vanishing, torch.randn(16, 8)).plot().axes[0].get_legend_handles_labels()[1]
    assert "1 vanishing-gradient" in labels
