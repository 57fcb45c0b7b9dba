"""Bad input: one clear error or finding each, nothing lost, the model untouched."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import assert_gradients_healthy, check_gradients
from gradcheck_health.records.errors import InputsError, ModelError, UsageError
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.report import UnhealthyGradientsError
from gradcheck_health.records.trace import Trace


def says(error: pytest.ExceptionInfo[Exception], *parts: str) -> None:
    for part in parts:
        assert part in str(error.value), str(error.value)


@pytest.mark.parametrize("model", [3, "model.py", None, torch.zeros(3)])
def test_not_a_module(model: Any) -> None:
    with pytest.raises(UsageError) as error:
        check_gradients(model)
    says(error, "nn.Module", type(model).__name__)


def test_no_parameters() -> None:
    with pytest.raises(UsageError) as error:
        check_gradients(nn.ReLU())
    says(error, "ReLU has no parameters")


def test_layers_in_a_plain_list() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(2, 2)]

    with pytest.raises(UsageError) as error:
        check_gradients(Hidden())
    says(error, "nn.ModuleList")


def test_forgotten_super() -> None:
    class Forgot(nn.Module):
        def __init__(self) -> None:
            pass

    with pytest.raises(UsageError) as error:
        check_gradients(Forgot())
    says(error, "super().__init__()")


def test_all_frozen() -> None:
    with pytest.raises(UsageError) as error:
        check_gradients(nn.Linear(2, 2).requires_grad_(False))
    says(error, "all 2 parameters of Linear are frozen")


def test_meta_device() -> None:
    with pytest.raises(UsageError) as error:
        check_gradients(nn.Linear(2, 2, device="meta"))
    says(error, "meta device", "to_empty")


def test_integer_parameters() -> None:
    model = nn.Module()
    model.weight = nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    with pytest.raises(UsageError) as error:
        check_gradients(model)
    says(error, "integers", "quantised")


class Returns(nn.Module):
    def __init__(self, how: Any) -> None:
        super().__init__()
        self.fc, self.how = nn.Linear(4, 3), how

    def forward(self, x: torch.Tensor) -> Any:
        return self.how(self.fc(x))


@pytest.mark.parametrize("how", [lambda y: y.argmax(-1), lambda y: y.detach(), lambda y: y.round().long()])
def test_output_without_a_gradient_is_a_finding(how: Any) -> None:
    report = check_gradients(Returns(how), torch.randn(8, 4))
    assert [finding.rule for finding in report.failures] == ["cut-gradient"]
    assert set(report.failures[0].names) == {"fc.weight", "fc.bias"}


def test_output_without_a_tensor() -> None:
    with pytest.raises(ModelError) as error:
        check_gradients(Returns(lambda y: "text"), torch.randn(8, 4))
    says(error, "a str that holds no tensor")


@pytest.mark.slow
def test_forward_raises() -> None:
    def boom(y: torch.Tensor) -> torch.Tensor:
        raise KeyError("nothing there")

    with pytest.raises(ModelError) as error:
        check_gradients(Returns(boom), torch.randn(8, 4))
    says(error, "Returns.forward raised KeyError", "nothing there", "test_bad_input.py", "float32[8, 4]")


@pytest.mark.slow
def test_exception_whose_text_raises() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise ValueError

    def boom(y: torch.Tensor) -> torch.Tensor:
        raise Rude

    with pytest.raises(ModelError) as error:
        check_gradients(Returns(boom), torch.randn(8, 4))
    says(error, "Rude")


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        (torch.randn(8, 5), ["fc", "4", "[8, 5]"]),
        (torch.randn(8, 4).double(), ["float32", "float64"]),
        (torch.randn(0, 4), ["empty"]),
        (torch.full((8, 4), float("nan")), ["NaN"]),
        ({"y": torch.randn(8, 4)}, ["'y'", "called x"]),
        (lambda: 1 / 0, ["ZeroDivisionError"]),
    ],
    ids=["shape", "dtype", "empty", "nan", "name", "factory"],
)
def test_wrong_inputs(inputs: Any, parts: list[str]) -> None:
    with pytest.raises(InputsError) as error:
        check_gradients(Returns(lambda y: y), inputs)
    says(error, *parts)


@pytest.mark.parametrize(
    ("loss", "part"),
    [(lambda y: y, "scalar"), (lambda y: 3.0, "float")],
    ids=["tensor", "number"],
)
def test_wrong_loss(loss: Any, part: str) -> None:
    with pytest.raises(UsageError) as error:
        check_gradients(nn.Linear(4, 3), torch.randn(8, 4), loss=loss)
    says(error, part)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"select": ["vanishing"]}, ["vanishing", "vanishing-gradient"]),
        ({"ignore": {"dead-units": "why not"}}, ["dead-units", "dead-unit"]),
        ({"rules": {"dead-unit": {"max_fractions": 0.3}}}, ["max_fractions", "max_fraction"]),
        ({"rules": {"dead-unit": {"max_fraction": "many"}}}, ["max_fraction", "many"]),
        ({"fail_on": "warnings"}, ["warning"]),
        ({"dtype": "float23"}, ["float23", "float32"]),
        ({"device": "cuda:99"}, ["cuda:99"]),
    ],
)
def test_wrong_settings(settings: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        check_gradients(nn.Linear(4, 3), torch.randn(8, 4), **settings)
    says(error, *parts)


@pytest.mark.parametrize(
    ("factory", "kind", "part"),
    [
        (lambda: 3, UsageError, "allowed: model"),
        (lambda: 1 / 0, ModelError, "ZeroDivisionError"),
        (lambda n: nn.Linear(n, n), UsageError, "without arguments"),
    ],
)
def test_wrong_factory(factory: Any, kind: type[Exception], part: str) -> None:
    with pytest.raises(kind, match=part):
        check_gradients(factory)


def test_rule_that_raises_is_named() -> None:
    def broken(trace: Trace) -> Any:
        yield from [][1]  # type: ignore[var-annotated]

    with pytest.raises(UsageError) as error:
        check_gradients(nn.Linear(4, 3), torch.randn(8, 4), extra_rules=[broken])
    says(error, "the rule broken raised IndexError")


def test_rule_that_yields_something_else_is_named() -> None:
    def wrong(trace: Trace) -> Any:
        yield "a string"

    with pytest.raises(UsageError) as error:
        check_gradients(nn.Linear(4, 3), torch.randn(8, 4), extra_rules=[wrong])
    says(error, "the rule wrong yielded a str", "Finding or Need")


@pytest.mark.slow
def test_ignore_takes_out_what_it_names_and_tells_what_it_does_not() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare, self.other = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.used(x)
            return out

    x = torch.randn(8, 4)
    some = check_gradients(Spare(), x, ignore={"missing-gradient:spare.*": "later", "dead-unit:*": "never"})
    (finding,) = some.failures
    assert set(finding.names) == {"other.weight", "other.bias"}
    assert some.unmatched == ("dead-unit:*",)
    every = check_gradients(Spare(), x, ignore={"missing-gradient:spare.*": "later", "missing-gradient:other.*": "never"})
    assert every.ok
    assert [f.suppressed for f in every.findings] == ["never; later"] or [f.suppressed for f in every.findings] == [
        "later; never"
    ]


def test_assertion_carries_the_report() -> None:
    with pytest.raises(UnhealthyGradientsError) as error:
        assert_gradients_healthy(Returns(lambda y: y.detach()), torch.randn(8, 4))
    assert isinstance(error.value, AssertionError)
    finding = error.value.report.findings[0]
    assert isinstance(finding, Finding)
    says(error, "cut-gradient in Returns (1 error)", "test_bad_input.py", "repeat:")


def test_device_without_values_is_refused() -> None:
    with pytest.raises(UsageError, match="device 'meta': it holds no values"):
        check_gradients(nn.Linear(2, 2), device="meta")
