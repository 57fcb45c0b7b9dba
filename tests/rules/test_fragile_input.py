"""Inputs at the edge: which of them break a gradient that is finite on the batch as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import Finding, Severity, check_gradients

pytestmark = pytest.mark.filterwarnings("ignore:std")  # torch warns of a single step, too


class Body(nn.Module):
    """A linear layer and what is done with it."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.function = function

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.function(self.linear, x) if mask is None else self.function(self.linear, x, mask)


def rows() -> dict[str, Any]:
    return {"x": torch.randn(16, 8)}


def steps() -> dict[str, Any]:
    return {"x": torch.randn(16, 5, 8)}


def masked() -> dict[str, Any]:
    return {**steps(), "mask": (torch.rand(16, 5) > 0.3) | (torch.arange(5) == 0)}


def found(function: Callable[..., torch.Tensor], inputs: dict[str, Any], **settings: Any) -> list[Finding]:
    report = check_gradients(Body(function), inputs, ignore={"mixed-samples": "pairs are compared"}, **settings)
    return [one for one in report.findings if one.rule == "fragile-input"]


SICK = {
    "unit vectors": (lambda f, x: f(x / x.square().sum(-1, keepdim=True).sqrt()), rows, "a row of zeros", "div"),
    "standardised": (lambda f, x: f((x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)), rows, "a constant row", "div"),
    "distances": (lambda f, x: _distances(f(x), 0.0), rows, "two equal rows", "sqrt"),
    "mean of the unmasked": (lambda f, x, m: (f(x) * m[..., None]).sum(1) / m.sum(1, keepdim=True), masked, "of zeros", "div"),
    "attention of the unmasked": (lambda f, x, m: _attention(f(x), m, float("-inf")), masked, "a mask of zeros", "softmax"),
    "spread of the steps": (lambda f, x: f(x).std(1), steps, "a single step", "std"),
}
SOUND = {
    "unit vectors": (lambda f, x: f(x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()), rows),
    "normalised": (lambda f, x: nn.functional.normalize(f(x)) + nn.functional.normalize(x), rows),
    "distances": (lambda f, x: _distances(f(x), 1e-6), rows),
    "pairs": (lambda f, x: torch.cdist(f(x), f(x)), rows),
    "mean of the unmasked": (lambda f, x, m: (f(x) * m[..., None]).sum(1) / m.sum(1, keepdim=True).clamp(min=1), masked),
    "attention of the unmasked": (lambda f, x, m: _attention(f(x), m, -1e9), masked),
    "spread of the steps": (lambda f, x: _never_empty(f(x)).var(1, correction=0).add(1e-6).sqrt(), steps),
}


def _never_empty(y: torch.Tensor) -> torch.Tensor:
    """With one step of zeros behind the others."""
    return nn.functional.pad(y, (0, 0, 0, 1))


def _distances(y: torch.Tensor, epsilon: float) -> torch.Tensor:
    apart = (y[:, None] - y[None]).square().sum(-1) + torch.eye(len(y))
    return (apart + epsilon).sqrt()


def _attention(y: torch.Tensor, mask: torch.Tensor, hidden: float) -> torch.Tensor:
    return (y[..., 0].masked_fill(~mask, hidden).softmax(-1)[..., None] * y).sum(1)


@pytest.mark.parametrize("name", SICK)
def test_the_input_and_the_operation_are_named(name: str) -> None:
    function, inputs, kind, operation = SICK[name]
    (finding,) = found(function, inputs())
    assert finding.severity is Severity.NOTE
    assert kind in finding.message
    assert finding.places[0].note == operation
    assert "test_fragile_input.py" in str(finding.places[0])


@pytest.mark.parametrize("name", SOUND)
def test_a_guarded_operation_is_quiet(name: str) -> None:
    function, inputs = SOUND[name]
    assert found(function, inputs(), edge_inputs=True) == []


def test_inputs_that_are_declared_to_come_make_it_an_error() -> None:
    function, inputs, *_ = SICK["unit vectors"]
    (finding,) = found(function, inputs(), edge_inputs=True)
    assert finding.severity is Severity.ERROR


def test_no_step_at_all_is_tried_where_such_inputs_come() -> None:
    assert found(lambda f, x: f(x).mean(1), steps()) == []
    for spread in (lambda y: y.mean(1), lambda y: y.var(1, correction=0).add(1e-6).sqrt()):
        (finding,) = found(lambda f, x, spread=spread: spread(f(x)), steps(), edge_inputs=True)
        assert "no step" in finding.message


def test_a_gradient_that_is_not_finite_anyway_is_another_rule() -> None:
    report = check_gradients(Body(lambda f, x: (f(x) - f(x).detach()).square().sum(-1).sqrt()), rows())
    assert [one.rule for one in report.findings] == ["nonfinite-gradient"]


def test_a_small_batch_is_left_alone_unless_such_inputs_come() -> None:
    function, *_ = SICK["unit vectors"]
    few = {"x": torch.randn(8, 8)}
    assert found(function, few) == []
    assert len(found(function, few, edge_inputs=True)) == 1
