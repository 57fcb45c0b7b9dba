"""Central differences against `torch.autograd.gradcheck` and closed forms; what is a surrogate, and what is restored."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import Finding, Severity, check_gradients
from gradcheck_health.probe.experiments.finite_differences import compare
from tests.zoo.entry import Sick, Sound, sick_models, sound_models
from tests.zoo.sick import backwards as sick_backwards
from tests.zoo.sound import backwards as sound_backwards

SICK = sick_models(sick_backwards)
RIGHT = ("right-backward", "function-with-kinks", "function-in-place")
SOUND = [entry for entry in sound_models(sound_backwards) if entry.name in RIGHT]


def passes_gradcheck(entry: Sick | Sound) -> bool:
    """torch's own comparison, on the layer that holds the function."""
    model, x = entry.build()
    model = model.double()
    given = model[0](x.double()).detach().requires_grad_()
    parameters = list(model[1].parameters())
    return torch.autograd.gradcheck(lambda given, *_: model[1](given), (given, *parameters), raise_exception=False, eps=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("entry", SICK, ids=lambda entry: entry.name)
def test_torch_finds_the_sick_ones_wrong(entry: Sick) -> None:
    assert not passes_gradcheck(entry)


@pytest.mark.parametrize("entry", SOUND, ids=lambda entry: entry.name)
def test_torch_finds_the_right_ones_right(entry: Sound) -> None:
    assert passes_gradcheck(entry)


def test_measured_slopes_are_those_of_the_closed_form() -> None:
    """f(x) = sum of x^3: slope 3 x^2 r, and nothing at the kink of |x| at 0."""
    x = torch.tensor([-1.5, 0.2, 2.0], dtype=torch.float64)
    for entry in compare(lambda given: [given[0] ** 3], [x], 0, seed=0):
        assert entry.measured == pytest.approx(entry.claimed, rel=1e-7)
    kinked = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    assert {entry.position for entry in compare(lambda given: [given[0].abs()], [kinked], 0, seed=0)} == {0, 2}


class Scaled(torch.autograd.Function):
    """tanh, its gradient times `factor`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        ctx.factor = factor
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return ctx.factor * g * (1 - y * y), None


class Layer(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return Scaled.apply(x, self.factor)  # type: ignore[no-untyped-call]


def found(factor: float, **settings: Any) -> list[Finding]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 10), Layer(factor), nn.Linear(10, 2))
    return list(check_gradients(model, torch.randn(8, 6), select=["wrong-backward"], seed=0, **settings).findings)


@pytest.mark.parametrize("factor", [0.9, 1.5, -1.0])
def test_error_is_the_distance_of_the_factor_from_one(factor: float) -> None:
    (finding,) = found(factor)
    assert finding.severity is Severity.ERROR
    assert finding.got == pytest.approx(abs(factor - 1) / max(1, abs(factor)), rel=1e-3)
    assert f"{factor:.3g} x the derivative" in dict(finding.details)["because"]
    assert finding.names == ("1",)
    assert "test_wrong_backward.py:" in (finding.places[0].source or "")


@pytest.mark.slow
def test_small_errors_are_notes_unless_the_bound_is_set() -> None:
    assert found(1.0) == []
    assert found(1.00005) == []
    assert [finding.severity for finding in found(1.003)] == [Severity.NOTE]
    (finding,) = found(1.003, rules={"wrong-backward": {"max_error": 1e-3}})
    assert finding.severity is Severity.ERROR


def test_function_is_left_as_it_was() -> None:
    before = Scaled.__dict__["forward"]
    found(1.5)
    assert Scaled.__dict__["forward"] is before


class Refuses(torch.autograd.Function):
    """Raises in float64."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise RuntimeError("float32 only")
        return 2 * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return 2 * g


class Narrow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Refuses.apply(x.float())  # type: ignore[no-untyped-call]


def test_function_that_knows_one_precision_only_is_a_note() -> None:
    model = nn.Sequential(nn.Linear(6, 4), Narrow())
    (finding,) = check_gradients(model, torch.randn(8, 6), select=["wrong-backward"]).findings
    assert finding.severity is Severity.NOTE
    assert "float32 only" in finding.message


def test_nothing_is_asked_of_a_model_without_custom_functions() -> None:
    report = check_gradients(nn.Linear(3, 3), torch.randn(4, 3), select=["wrong-backward"])
    assert "custom_backward" not in report.trace.facts
