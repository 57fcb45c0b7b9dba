"""The picture of the flow in text: bars that measure, layers that fold, and no finding that gets lost on the way."""

from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradcheck_health import check_gradients
from gradcheck_health.formats import terminal
from gradcheck_health.formats._flow.axis import axis_of
from gradcheck_health.formats._flow.bars import picture
from gradcheck_health.formats._flow.folded_rows import Row, rows
from gradcheck_health.formats._flow.layer_tree import tree
from gradcheck_health.formats._page.blocks import blocks
from gradcheck_health.records.finding import Place, Severity
from gradcheck_health.records.measurements import ActivationTrace, CutPoint, LayerTrace, TensorStats
from gradcheck_health.records.report import Report
from tests.support.hostile import HOSTILE, WHOLE, finding, report, trace, values


def chain(gradients: dict[str, float], kinds: str = "Linear", **changes: object) -> Report:
    """A report on layers in a row, each with the norm of the gradient at its output; sick where `finding` has places."""
    layers, flow = {}, []
    for order, (name, norm) in enumerate(gradients.items()):
        stats = TensorStats(1, norm, norm)
        for path in [".".join(name.split(".")[:end]) for end in range(1, name.count(".") + 1)]:
            layers[path] = LayerTrace(path, "Block", order if path not in layers else layers[path].order, 1, stats, stats)
        layers[name] = LayerTrace(name, kinds, order, 1, stats, stats)
        flow.append(CutPoint(name, "Addmm", norm))
    return report(**{"trace": trace(layers=layers, flow=tuple(flow)), **changes})  # type: ignore[arg-type]


def bars(lines: list[str]) -> list[str]:
    return [found[1] for line in lines[1:] if (found := re.search(r"\|([#-]*)", line))]


def test_a_bar_is_as_long_as_the_gradient_has_decades() -> None:
    lines = picture(chain({"a": 1e-6, "b": 1e-4, "c": 1e-2, "d": 1.0}), width=80)
    lengths = [len(bar) for bar in bars(lines)]
    full = lengths[-1]
    # the axis runs over six decades, so two of them are a third of it; a bar of no length would be an exact zero
    assert lengths == [1, round(full / 3), round(full * 2 / 3), full]
    assert full > 30


def test_the_gain_of_a_container_is_the_product_over_its_layers() -> None:
    """Closed form: each layer halves the norm, so a block of two keeps a quarter."""
    root = tree(chain({"in": 1 / 16, "block.0": 1 / 8, "block.1": 1 / 4, "head": 1 / 2, "end": 1.0}))
    gains = {node.name: node.gain for node in root.children} | {node.name: node.gain for node in root.children[1].children}
    assert gains == {"in": None, "block": 0.25, "block.0": 0.5, "block.1": 0.5, "head": 0.5, "end": 0.5}
    assert root.gain == 1 / 16


def test_no_gain_where_the_flow_is_not_judged() -> None:
    found = chain({"a": 0.5, "b": 1.0})
    noted = report(trace=trace(layers=found.trace.layers, flow=found.trace.flow, flow_note="a batch norm saw 2 values"))
    assert [node.gain for node in tree(noted).children] == [None, None]


def test_layers_that_repeat_are_one_row() -> None:
    many = chain({f"blocks.{i}": 1.0 for i in range(100)} | {"head": 1.0})
    (blocks, fold, head) = rows(tree(many), 12)
    assert (fold.label, fold.kind, len(fold.nodes)) == ("0 .. 99", "100 x Linear", 100)
    assert (blocks.label, head.label, blocks.open, fold.depth) == ("blocks", "head", True, 1)


def test_a_pattern_of_layers_is_one_row() -> None:
    found = chain({str(i): 1.0 for i in range(60)})
    layers = {name: LayerTrace(name, ("Conv2d", "ReLU")[int(name) % 2], int(name), 1) for name in found.trace.layers}
    (row,) = rows(tree(report(trace=trace(layers=layers))), 12)
    assert row.kind == "30 x (Conv2d, ReLU)"


def test_layers_are_in_the_order_of_forward_and_unused_ones_come_last() -> None:
    layers = {
        name: LayerTrace(name, "Linear", order, int(order >= 0)) for name, order in (("z", 0), ("idle", -1), ("a", 2), ("m", 1))
    }
    root = tree(report(trace=trace(layers=layers)))
    assert [node.name for node in root.children] == ["z", "m", "a", "idle"]


@pytest.mark.slow
def test_weights_that_are_used_without_a_call_are_not_called_unused() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.idle = nn.MultiheadAttention(8, 2), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x)[0] + x

    found = check_gradients(Net(), (torch.randn(5, 4, 8),))
    lines = {line.split()[0]: line for line in picture(found)}
    assert "unused" in lines["idle"] and not {"unused", "none"} & {*lines["out_proj"].split()}
    page = blocks(found)
    assert page is not None
    states = {block.label: block.state for block in page.rows}
    assert (states["idle"], states["out_proj"]) == ("unused", "open")


def test_what_is_sick_is_open_down_to_the_place() -> None:
    deep = {f"stage.{i}.mix.{j}": 1.0 for i in range(20) for j in range(4)}
    sick = chain(deep, findings=())
    sick = report(finding(places=(Place("stage.7.mix.2"),)), trace=sick.trace)
    shown = rows(tree(sick), 20)
    (marked,) = [row for row in shown if row.severity is Severity.ERROR]
    assert [node.name for node in marked.nodes] == ["stage.7.mix.2"]


def test_a_share_of_dead_units_is_shown() -> None:
    found = chain({"a": 1.0, "relu": 1.0})
    dead = trace(layers=found.trace.layers, flow=found.trace.flow, activations=(ActivationTrace("relu", "relu", 1, 8, 64, 6),))
    lines = picture(report(trace=dead))
    assert "dead" in lines[0] and "75%" in lines[2] and "75%" not in lines[1]
    assert "dead" not in picture(found)[0]


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_what_a_log_axis_cannot_hold_is_reported_in_words(value: float) -> None:
    stats = TensorStats(4, 0.0, 0.0, nan=int(math.isnan(value)), inf=int(math.isinf(value)))
    layers = {
        "a": LayerTrace("a", "Linear", 0, 1, stats, stats),
        "b": LayerTrace("b", "Linear", 1, 1, None, TensorStats(1, 1, 1)),
    }
    lines = picture(report(trace=trace(layers=layers, flow=())))
    assert "#" not in lines[1] and "#" in lines[2]
    assert ("nan, inf" if value else " 0") in lines[1]


def test_an_axis_makes_harmless_differences_look_harmless() -> None:
    healthy = axis_of([0.3, 1.2])
    assert healthy.high - healthy.low >= 3
    assert healthy.position(0.3) > 0.7
    assert axis_of([0.0, math.nan, math.inf]).position(1.0) == 1.0


@pytest.mark.slow
@given(values(Report), st.integers(60, 200), st.integers(6, 40))
@settings(WHOLE)
def test_any_report_has_a_picture_that_fits(made: Report, width: int, budget: int) -> None:
    lines = picture(made, width=width, budget=budget)
    assert len(lines) <= budget + 1
    assert all(len(line) <= width and line.isascii() and line.isprintable() for line in lines)


@pytest.mark.slow
@given(st.lists(st.sampled_from(["a", "b", "a.b", "a.c", "b.d.e", "b.d.f", "b.d"]), unique=True, min_size=1), st.data())
def test_no_finding_gets_lost(names: list[str], data: st.DataObject) -> None:
    layers = {name: LayerTrace(name, "Linear", i, 1) for i, name in enumerate(names)}
    places = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    found = tuple(finding(message=name, places=(Place(name),)) for name in places)
    shown: list[Row] = rows(tree(report(*found, trace=trace(layers=layers))), 8)
    assert {f.message for row in shown for f in row.findings} == set(places)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("width", [80, 200])
def test_hostile_names_stay_in_their_column(name: str, width: int) -> None:
    text = terminal.render(chain({f"x{name}": 1e-3, "head": 1.0}, kinds=name), rows=12, width=width)
    drawn = text[text.index("on a log scale:") :].splitlines()[1:4]
    assert drawn[0].startswith("layer ") and all(line.isascii() and len(line) <= width for line in drawn)
    assert drawn[1].rindex("|#") == drawn[2].rindex("|#")


def test_blocks_and_ascii_draw_the_same_lengths() -> None:
    made = chain({"a": 1e-5, "b": 1e-2, "c": 1.0})
    plain = [len(bar) for bar in bars(picture(made))]
    assert [line.count("\u2588") for line in picture(made, blocks=True)[1:]] == plain


def test_the_failure_message_of_an_assertion_has_no_picture() -> None:
    made = report(finding(), trace=chain({"a": 1e-5, "b": 1.0}).trace)
    assert "log scale" not in terminal.render(made)
    assert "log scale" in terminal.render(made, rows=12)
