"""Gate expressions: every one that is right means what it says, every one that is wrong is told with what would be right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck_health.baseline.bounds import UNITS, Bound, parse, parse_all
from gradcheck_health.records.errors import UsageError
from tests.support import hostile


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("flow", Bound("flow")),
        ("flow:-1dec", Bound("flow", "*", -1, 1.0)),
        ("flow:+0.5dec", Bound("flow", "*", 1, 0.5)),
        ("flow: .5 dec", Bound("flow", "*", 0, 0.5)),
        ("flow@encoder.*:-0.3dec", Bound("flow", "encoder.*", -1, 0.3)),
        ("gain@head", Bound("gain", "head")),
        ("dead_fraction:+5pp", Bound("dead_fraction", "*", 1, 0.05)),
        ("dead-fraction:+5pp", Bound("dead_fraction", "*", 1, 0.05)),
    ],
)
def test_expression_is_read(text: str, bound: Bound) -> None:
    assert parse(text) == bound


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flw:-1dec", "no metric 'flw' (did you mean 'flow'?)"),
        ("", "no metric ''"),
        ("flow:-1", "got the unit ''; allowed for flow: dec (decades, 1dec is a factor of ten), as in flow:-1dec"),
        ("flow:-5pp", "got the unit 'pp'; allowed for flow: dec"),
        ("dead_fraction:+1dec", "allowed for dead_fraction: pp (percentage points)"),
        ("flow:-0dec", "allowed: a number above 0"),
        ("flow:much", "got 'much' for the bound"),
        ("flow:--1dec", "got '--1dec' for the bound"),
        ("flow:", "got '' for the bound"),
        ("flow@:-1dec", "got no name behind @"),
        ("dead_fraction@stem:+5pp", "dead_fraction belongs to the whole model"),
        ("flow:-1e999dec", "got '-1e999dec' for the bound"),
    ],
)
def test_wrong_expression_is_reported(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert words in str(raised.value)
    assert f"fail_if {text!r}" in str(raised.value)


@pytest.mark.slow
@hostile.WHOLE
@given(st.text(max_size=20) | st.from_regex(r"(flow|gain|dead_fraction)(@[a-z.*]*)?:[-+]?[0-9]+(dec|pp)?", fullmatch=True))
def test_any_text_is_a_bound_or_a_usage_error(text: str) -> None:
    try:
        bound = parse(text)
    except UsageError:
        return
    assert bound.metric in UNITS
    assert bound.amount is None or bound.amount > 0


@pytest.mark.parametrize(
    ("text", "broken", "kept"),
    [
        ("flow:-1dec", (-1.01, -9), (-0.99, 5)),
        ("flow:+1dec", (1.01,), (0.99, -5)),
        ("flow:1dec", (1.01, -1.01), (0.99, -0.99)),
    ],
)
def test_sign_is_the_direction_that_fails(text: str, broken: tuple[float, ...], kept: tuple[float, ...]) -> None:
    bound = parse(text)
    assert all(bound.broken(change) for change in broken)
    assert not any(bound.broken(change) for change in kept)


def test_without_expressions_every_metric_is_gated() -> None:
    assert [bound.metric for bound in parse_all([])] == list(UNITS)
    assert [bound.metric for bound in parse_all(["gain"])] == ["gain"]
