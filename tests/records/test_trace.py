"""A trace survives JSON, whatever stands in it; a trace that is none is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck_health.records.measurements import TensorStats
from gradcheck_health.records.trace import Trace
from tests.support.hostile import WHOLE, trace, values


@pytest.mark.slow
@WHOLE
@given(values(Trace))
def test_json_round_trip_loses_nothing(made: Trace) -> None:
    text = made.to_json()
    assert text.isascii()
    again = Trace.from_json(text)
    assert repr(again) == repr(made), "repr, because NaN is not equal to itself"
    assert again.to_json() == text


def test_strict_json_holds_no_nan() -> None:
    bad = TensorStats(3, math.nan, math.inf, 1, 1)
    text = trace(loss=-math.inf, facts={"float64": (trace(loss=math.nan),)}).to_json()
    parsed = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert (parsed["loss"], parsed["facts"]["float64"][0]["loss"]) == ("-inf", "nan")
    assert math.isnan(Trace.from_json(text).facts["float64"][0].loss or 0)
    assert not bad.finite


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 99}, "schema 99"),
        ({"schema": None}, "schema None"),
        ({"colour": 1}, "trace: unknown field 'colour'"),
        ({"model": 3}, "trace.model: expected str, got 3"),
        ({"layers": []}, "trace.layers"),
        ({"layers": {"a": 3}}, "trace.layers.a"),
        ({"flow": "abc"}, "trace.flow"),
        ({"flow": None}, "trace.flow"),
        ({"seed": 1.5}, "trace.seed"),
        ({"seed": True}, "trace.seed"),
        ({"loss": "many"}, "trace.loss"),
        ({"loss": [1]}, "trace.loss"),
        ({"gaps": [None]}, "trace.gaps[0]"),
        ({"inputs": {}}, "trace.inputs"),
        ({"facts": {"kicked": {}}}, "trace.facts.kicked"),
    ],
)
def test_wrong_document_is_refused_with_its_place(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Trace.from_dict({**trace().to_dict(), **change})
    assert words in str(caught.value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "model", "gradient", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@WHOLE
@given(st.sampled_from(sorted(trace().to_dict())), _json)
def test_any_other_value_in_a_field_is_read_or_refused(field: str, value: Any) -> None:
    try:
        Trace.from_dict({**trace().to_dict(), field: value})
    except ValueError as error:
        assert str(error)  # noqa: PT017 - success is right, too


def test_merged_statistics_are_those_of_one_tensor() -> None:
    import torch

    parts = [
        torch.randn(7, dtype=torch.float64),
        torch.randn(11, dtype=torch.float64) * 1e-3,
        torch.randn(5, dtype=torch.float64) * 1e3,
    ]
    whole = torch.cat(parts)
    merged = TensorStats.merge([TensorStats(p.numel(), float(p.square().mean().sqrt()), float(p.abs().max())) for p in parts])
    assert merged.numel == whole.numel()
    assert merged.rms == pytest.approx(float(whole.square().mean().sqrt()), rel=1e-12)
    assert merged.norm == pytest.approx(float(whole.norm()), rel=1e-12)
    assert merged.max == float(whole.abs().max())


def test_merging_tiny_statistics_does_not_underflow() -> None:
    merged = TensorStats.merge([TensorStats(4, 1e-200, 1e-200), TensorStats(4, 1e-200, 2e-200)])
    assert merged.rms == pytest.approx(1e-200)
    assert TensorStats.merge([]).numel == 0
