"""Findings that name the line, the weight or the kind of fault where they used to name the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import Finding, check_gradients


def errors(model: nn.Module, inputs: Any) -> list[Finding]:
    torch.manual_seed(0)
    return [f for f in check_gradients(model, inputs, seed=0).findings if f.severity.value == "error"]


class Written(nn.Module):
    """A recurrence that is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.again, self.head = nn.Linear(6, 24), nn.Linear(24, 24), nn.Linear(24, 4)
        nn.init.normal_(self.again.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 24)
        for t in range(x.shape[1]):
            fresh = self.enter(x[:, t])
            h = torch.tanh(fresh + self.again(h))  # the line
        return self.head(h)


def test_recurrence_is_named_by_the_weight_that_takes_the_state() -> None:
    (finding,) = errors(Written(), torch.randn(16, 30, 6))
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("# the line"))
    assert (finding.rule, finding.names[0]) == ("vanishing-through-time", "again")
    assert finding.places[0].source is not None
    assert finding.places[0].source.endswith(f"test_named_causes.py:{line}")


class Pass(torch.autograd.Function):
    """A clamp (or a rectifier) that hands every gradient on, `factor` times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, high: float, factor: float) -> Tensor:
        ctx.factor = factor
        return x.clamp(0.0 if high == 1e9 else -high, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.factor, None, None


class Passing(nn.Module):
    def __init__(self, high: float, factor: float) -> None:
        super().__init__()
        self.first, self.second, self.how = nn.Linear(8, 16), nn.Linear(16, 3), (high, factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(Pass.apply(3 * self.first(x), *self.how))


@pytest.mark.parametrize(
    ("high", "factor", "sick"),
    [(1.0, 1.0, False), (1.0, -1.0, True), (1.0, 3.0, True), (1e9, 1.0, True)],
    ids=["straight-through-clamp", "wrong-sign", "wrong-factor", "rectifier-without-its-mask"],
)
def test_only_a_clamp_between_two_bounds_may_pass_straight_through(high: float, factor: float, sick: bool) -> None:
    assert [f.rule for f in errors(Passing(high, factor), torch.randn(32, 8))] == (["wrong-backward"] if sick else [])


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


@pytest.mark.parametrize(("dtype", "rule"), [(torch.half, "half-precision-overflow"), (torch.float32, None)])
def test_what_float16_alone_cannot_hold_is_an_overflow(dtype: torch.dtype, rule: str | None) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), Square(), nn.Linear(32, 4)).to(dtype)
    found = errors(model, 1000 * torch.randn(32, 16, dtype=dtype))
    assert [f.rule for f in found] == ([rule] if rule else [])
    assert not found or found[0].names[0] == "1"


def test_infinity_in_every_precision_is_no_overflow() -> None:
    class Log(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(x * 0)

    assert [f.rule for f in errors(nn.Sequential(nn.Linear(8, 8), Log()).half(), torch.randn(8, 8).half())] == [
        "nonfinite-gradient"
    ]


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w1, self.w2 = (nn.Parameter(0.3 * torch.randn(8, 8)) for _ in range(2))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(torch.relu(x @ self.w1) @ self.w1))


def test_bare_parameter_whose_sibling_is_used_twice_is_a_typo() -> None:
    (finding,) = errors(Bare(), torch.randn(32, 8))
    assert dict(finding.details)["because"] == "w2 is never used, and w1, of the same shape, 2 times: a typo?"
