"""Ratios, stretches, shapes and blame, on flows written down by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest

from gradcheck_health.records.measurements import CutPoint, InputsTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow


def points(*gradients: float, op: str = "Addmm") -> tuple[CutPoint, ...]:
    """From the first layer to the output."""
    return tuple(CutPoint(f"layer{i}", op, gradient) for i, gradient in enumerate(gradients))


def trace(*gradients: float, note: str = "") -> Trace:
    fed = InputsTrace("float32[4, 4]", "given", False, 4)
    return Trace("Net", {}, {}, (), points(*gradients), (), fed, "random projection", 0, flow_note=note)


def test_ratio_is_first_over_last() -> None:
    assert flow.ratio(trace(1e-3, 0.1, 2.0)) == pytest.approx(5e-4)


@pytest.mark.parametrize(
    "seen",
    [trace(), trace(1.0), trace(1.0, 0.0), trace(math.nan, 1.0), trace(math.inf, 1.0), trace(1e-9, 1.0, note="few values")],
)
def test_no_ratio_where_nothing_can_be_judged(seen: Trace) -> None:
    assert flow.ratio(seen) is None


def test_fact_ratios_are_given_kicked_and_after_three_steps() -> None:
    steps = tuple(trace(10.0**-k, 1.0) for k in range(5))
    seen = dataclasses.replace(trace(0.5, 1.0), facts={"kicked": (trace(0.25, 1.0),), "after_steps": steps})
    assert flow.fact_ratios(seen) == pytest.approx([0.5, 0.25, 1e-3])


def test_stretches_go_back_from_the_output() -> None:
    found = flow.stretches(points(0.1, 0.2, 2.0))
    assert [stretch.point.layer for stretch in found] == ["layer2", "layer1"]
    assert [stretch.keeps for stretch in found] == pytest.approx([0.1, 0.5])


def test_shape_of_a_deep_stack_is_exponential() -> None:
    assert flow.shape(points(*[0.3**k for k in range(12, 0, -1)])) == "exponential"


def test_shape_of_one_saturated_layer_is_a_step() -> None:
    assert flow.shape(points(1e-6, 1e-6, 1e-6, 1.0, 1.0)) == "step"


def test_shape_of_a_pre_norm_residual_stream_is_not_exponential() -> None:
    """Its gradient grows linearly: the relative growth dies out towards the output."""
    assert flow.shape(points(*[math.sqrt((24 + 1) / (k + 1)) for k in range(24)])) == "irregular"


def test_blame_names_the_operation_that_attenuates() -> None:
    chain = []
    norm = 1.0
    for i in range(6):
        chain.append(CutPoint(f"act{i}", "Sigmoid", norm))
        norm *= 0.2
        chain.append(CutPoint(f"fc{i}", "Addmm", norm))
        norm *= 0.9
    blame = flow.blame(chain[::-1])
    assert blame is not None
    assert blame.op == "Sigmoid"
    assert blame.keeps == pytest.approx(0.2)
    assert len(blame.culprits) == 6
    assert blame.culprits[0].point.layer == "act0"  # nearest to the output
    assert blame.share == pytest.approx(6 * math.log(5) / (6 * math.log(5) + 5 * math.log(1 / 0.9)), rel=1e-3)


def test_blame_of_growth() -> None:
    blame = flow.blame(points(1e6, 1e3, 1.0), growing=True)
    assert blame is not None
    assert (blame.op, blame.keeps) == ("linear", pytest.approx(1e3))


def test_no_blame_where_nothing_is_lost() -> None:
    assert flow.blame(points(1.0, 1.0)) is None
