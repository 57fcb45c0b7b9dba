"""What half precision would hold, against torch's own casts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import Severity, check_gradients
from gradcheck_health.records.evidence import Headroom
from gradcheck_health.rules.analysis import half_precision

RULES = ["half-precision-underflow", "half-precision-overflow"]


def spread(values: Tensor) -> Headroom:
    """The record that the fact would write for these gradients."""
    kinds, counts = torch.unique(values.log2().ceil().int(), return_counts=True)
    return Headroom(tuple(zip(kinds.tolist(), counts.tolist(), strict=True)), 1.0, "", "")


VALUES = torch.exp(torch.empty(20000, dtype=torch.float64).uniform_(-120, 2, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("scale", [1.0, 2.0**10])
def test_share_is_that_of_the_cast(dtype: torch.dtype, scale: float) -> None:
    """torch casts to the nearest number: what is at or below half of the smallest one becomes zero."""
    lost = float(((VALUES * scale).to(dtype) == 0).double().mean())
    assert half_precision.flushed(spread(VALUES), str(dtype).removeprefix("torch."), scale) == pytest.approx(lost, abs=1e-9)


def test_helpful_scale_keeps_what_it_promises() -> None:
    values = torch.tensor([2.0**-30] * 50 + [2.0**-5] * 50, dtype=torch.float64)
    scale = half_precision.helpful_scale(spread(values), 0.01)
    assert scale is not None
    assert float(((values * scale).half() == 0).double().mean()) <= 0.01
    assert float(((values * scale / 4).half() == 0).double().mean()) > 0.01
    wide = torch.tensor([2.0**-40] * 50 + [2.0**10] * 50, dtype=torch.float64)
    assert half_precision.helpful_scale(spread(wide), 0.01) is None


class Linear(nn.Module):
    """y = c W x: every gradient is c times that of a linear layer."""

    def __init__(self, c: float, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c, self.layer = c, nn.Linear(64, 32, bias=False, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y * self.c


def found(model: nn.Module, x: Tensor, **settings: Any) -> dict[str, Severity]:
    return {f.rule: f.severity for f in check_gradients(model, x, select=RULES, seed=0, **settings).findings}


X = torch.randn(16, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
def test_severity_follows_what_the_model_is() -> None:
    declared = {"rules": {RULES[0]: {"loss_scale": 1.0}}}
    assert found(Linear(1e-8), X) == {}
    assert found(Linear(1e-8), X, **declared) == {RULES[0]: Severity.WARNING}
    assert found(Linear(6e-8, torch.float16), X.half()) == {RULES[0]: Severity.ERROR}
    assert found(Linear(1e-8, torch.bfloat16), X.bfloat16()) == {}
    assert found(Linear(1.0, torch.float16), X.half()) == {}


def test_loss_scale_that_is_used_is_counted() -> None:
    assert found(Linear(1e-8), X, rules={RULES[0]: {"loss_scale": 2.0**16}}) == {}


def test_real_loss_gives_a_note_and_a_projection_nothing() -> None:
    """Under a projection the size of the gradient is that of the projection."""
    assert found(Linear(1e-10), X, loss=lambda y: y.sum()) == {RULES[0]: Severity.NOTE}
    assert found(Linear(1e-10), X) == {}


def test_overflow_beyond_65504() -> None:
    below, above = (nn.Sequential(Linear(c), nn.LayerNorm(32)) for c in (1e4, 1e6))
    assert found(below, X) == {}
    assert found(above, X) == {RULES[1]: Severity.NOTE}
    report = check_gradients(above, X, select=RULES[1:], rules={RULES[1]: {"loss_scale": 1.0}})
    (finding,) = report.findings
    assert finding.severity is Severity.WARNING
    assert finding.names == ("0",)
    assert finding.got == pytest.approx(float((1e6 * X @ above[0].layer.weight.detach().T).abs().max()), rel=1e-4)
    assert math.isfinite(finding.got or math.inf)
