"""Models and surroundings that are unusual: seen to break such tools, and checked here to the right verdict."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject, probe
from gradcheck_health.records.errors import ModelError, UsageError
from gradcheck_health.records.finding import Need
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.report import Report
from gradcheck_health.records.trace import Trace


class Middle(nn.Module):
    """Any function between two linear layers."""

    def __init__(self, how: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.enter, self.leave, self.how = nn.Linear(8, 8), nn.Linear(8, 4), how

    def forward(self, x: torch.Tensor) -> Any:
        return self.leave(self.how(self.enter(x)))


def check(model: nn.Module, **settings: Any) -> Report:
    torch.manual_seed(0)
    return check_gradients(model, torch.randn(16, 8), **settings)


@pytest.mark.parametrize(
    "how",
    [
        lambda h: torch.vmap(lambda row: torch.softmax(row, -1))(h),
        lambda h: torch.vmap(lambda row: torch.maximum(row, row.new_zeros(())))(h),
        lambda h: torch.vmap(torch.relu)(h),
        lambda h: torch.func.vmap(torch.func.grad(lambda row: torch.tanh(row).sum()))(h),
        lambda h: torch.relu(h.to_sparse()).to_dense(),
        lambda h: torch.relu(input=h),
        lambda h: torch.view_as_real(torch.fft.fft(torch.view_as_complex(h.view(16, 4, 2)))).view(16, 8),
    ],
    ids=["vmap softmax", "vmap maximum", "vmap relu", "vmap grad", "sparse", "keyword", "complex"],
)
def test_sound_whatever_is_in_the_middle(how: Callable[[torch.Tensor], Any]) -> None:
    assert [f.rule for f in check(Middle(how)).active if f.severity.value != "note"] == []


def test_lazy_layer_that_is_never_called_is_missing() -> None:
    class Spare(Middle):
        def __init__(self) -> None:
            super().__init__(torch.relu)
            self.spare = nn.LazyLinear(3)

    (finding,) = check(Spare()).failures
    assert finding.rule == "missing-gradient"
    assert set(finding.names) == {"spare.weight", "spare.bias"}


def test_autocast_around_the_check() -> None:
    """The cache of cast weights must not survive what a fact does to them."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4))
    nn.init.zeros_(model[1].weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert check(model).ok


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_on_whatever_surrounds_the_check(mode: Callable[[], Any]) -> None:
    model = Middle(torch.relu)
    with mode():
        assert check(model, loss=lambda y: y.square().mean()).ok


def test_every_draw_comes_from_the_seed() -> None:
    class Coin(Middle):
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(x) * (1 + random.random())

    torch.manual_seed(0)
    model = Coin(torch.relu)
    assert len({check(model).to_json() for _ in range(3)}) == 1


def test_unused_parameter_under_data_parallel_is_an_error() -> None:
    model = Middle(torch.relu)
    model.spare = nn.Linear(2, 2)
    (finding,) = check(nn.DataParallel(model)).failures
    assert set(finding.names) == {"spare.weight", "spare.bias"}


@pytest.mark.slow
def test_side_output_without_a_gradient_is_no_cut() -> None:
    """The recurrent weight of a single step has a gradient of zeros, and the argmax beside it is not why."""

    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRUCell(8, 16), nn.Linear(16, 3)

        def forward(self, x: torch.Tensor, h: torch.Tensor | None = None) -> Any:
            h = self.cell(x, h)
            values = self.head(h)
            return values, values.argmax(-1), h.detach()

    assert check(Policy()).ok


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        if ctx.needs_input_grad[0] and gradient.numel() == 0:
            raise ValueError("empty")
        return 3 * x**2 * gradient


class Custom(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = Cube.apply(x)
        return out


def test_custom_function_is_placed_in_its_layer_and_told_as_a_gap() -> None:
    model = nn.Sequential(nn.Linear(8, 8), Custom(), nn.Linear(8, 2))
    with sandbox(model):
        trace = probe(Subject(model, Inputs((torch.randn(4, 8),), batch=4)))
    assert [(point.layer, point.op) for point in trace.flow] == [("0", "Addmm"), ("1", "CubeBackward"), ("2", "Addmm")]
    assert any("Cube" in gap for gap in trace.gaps)


def test_backward_that_raises_is_a_finding() -> None:
    class Refuses(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            raise ValueError("not today")

    (finding,) = check(Middle(Refuses.apply)).failures
    assert finding.rule == "failed-backward"
    assert "not today" in dict(finding.details)["because"]


def test_cut_by_a_flat_derivative_is_found_by_its_rule_alone() -> None:
    report = check(Middle(torch.round), select=["cut-gradient"])
    assert set(report.failures[0].names) == {"enter.weight"}


def test_loss_that_raises_is_reported() -> None:
    with pytest.raises(ModelError, match=r"loss= raised KeyError"):
        check(Middle(torch.relu), loss=lambda out: out["logits"] if isinstance(out, dict) else {}["logits"])


def test_output_in_a_slotted_dataclass() -> None:
    @dataclass(slots=True)
    class Output:
        logits: torch.Tensor

    class Wrapped(Middle):
        def forward(self, x: torch.Tensor) -> Any:
            return Output(super().forward(x))

    report = check(Wrapped(torch.relu))
    assert report.ok
    assert [out.path for out in report.trace.outputs] == [".logits"]


def test_unknown_fact_is_the_rules_fault() -> None:
    def curious(trace: Trace) -> Any:
        yield Need("kickd")

    with pytest.raises(UsageError, match=r"curious needs the fact 'kickd'.*kicked"):
        check(Middle(torch.relu), extra_rules=[curious])


@pytest.mark.slow
def test_accepted_cause_hides_nothing() -> None:
    """A dead side branch that a person accepted says nothing about the main path."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.deep = nn.Sequential(*[layer for _ in range(12) for layer in (nn.Linear(8, 8), nn.Sigmoid())])
            self.side, self.head = nn.Linear(8, 64), nn.Linear(72, 4)
            nn.init.constant_(self.side.bias, -50.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(torch.cat([self.deep(x), torch.relu(self.side(x))], -1))
            return out

    assert [f.rule for f in check(Two()).failures] == ["dead-unit"]
    accepted = check(Two(), ignore={"dead-unit:side*": "pruned"})
    assert [f.rule for f in accepted.failures] == ["vanishing-gradient"] or "zero-gradient" in [
        f.rule for f in accepted.failures
    ]
    assert not accepted.ok


@pytest.mark.slow
def test_a_warning_of_the_model_is_shown_as_often_as_the_first_pass_gives_it() -> None:
    def warned(how: Callable[[torch.Tensor], torch.Tensor]) -> tuple[int, Report]:
        def told(h: torch.Tensor) -> torch.Tensor:
            warnings.warn("about to change", UserWarning, stacklevel=1)
            return how(h)

        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            report = check(Middle(told))
        return sum("about to change" in str(one.message) for one in seen), report

    once, quiet = warned(torch.relu)
    also_once, loud = warned(lambda h: torch.relu(h - 100.0))  # dead, which takes further passes to confirm
    assert (once, also_once, quiet.ok, loud.ok) == (1, 1, True, False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sound_model_in_half_precision_is_quiet(dtype: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    report = check_gradients(net, torch.randn(8, 16), dtype=dtype)
    assert (report.environment["dtype"], report.trace.half, report.findings) == (dtype, True, ())
    assert net[0].weight.dtype is torch.float32
