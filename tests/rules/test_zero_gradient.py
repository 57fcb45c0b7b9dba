"""Gradients that are zero by algebra, and losses whose best constant lies far away."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradcheck_health import Report, check_gradients


class Narrow(nn.Module):
    """A normalisation over `width` values, beside a way round it."""

    def __init__(self, width: int, beside: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, width)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 3)
        self.beside = nn.Linear(8, 3) if beside else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(self.norm(self.second(torch.relu(self.first(x)))))
        return y if self.beside is None else y + self.beside(x)


def errors(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings if finding.severity.value == "error"]


@pytest.mark.parametrize(("beside", "rule"), [(True, "zero-gradient"), (False, "constant-output")])
def test_norm_over_one_value_is_named(beside: bool, rule: str) -> None:
    torch.manual_seed(0)
    report = check_gradients(Narrow(1, beside), torch.randn(32, 8))
    assert errors(report) == [rule]
    (finding,) = (one for one in report.findings if one.rule == rule and one.severity.value == "error")
    assert finding.names[0] == "norm"
    assert "layer_norm of one value" in finding.places[0].note


def test_norm_over_several_values_is_sound() -> None:
    torch.manual_seed(0)
    assert errors(check_gradients(Narrow(16, False), torch.randn(32, 8))) == []


@pytest.mark.slow
def test_vanished_gradient_is_no_rounding() -> None:
    blocks = [layer for _ in range(12) for layer in (nn.Linear(32, 32), nn.Sigmoid())]
    assert errors(check_gradients(nn.Sequential(*blocks, nn.Linear(32, 4)), torch.randn(32, 32))) == ["vanishing-gradient"]


class Priced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(10, 1)

    def forward(self, x: Tensor, price: Tensor) -> Tensor:
        return F.mse_loss(self.body(x).squeeze(1), price)


@pytest.mark.parametrize("far", [1e2, 1e5, 1e8])
def test_best_constant_is_the_variance_of_the_targets(far: float) -> None:
    torch.manual_seed(0)
    price = far * (4 + torch.rand(64))
    trace = check_gradients(Priced(), (torch.randn(64, 10), price)).trace
    (constant,) = trace.facts["constant_predictor"][0].constants
    assert constant.best == pytest.approx(float(price.double().var(correction=0)), rel=1e-3)
    assert constant.weight == "body.weight"


class Margin(nn.Module):
    """Cosines; with a margin the right class is made smaller, which is the loss's doing and not the model's."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.body, self.centres, self.margin = nn.Linear(12, 16), nn.Parameter(torch.randn(10, 16)), margin

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        cosine = F.linear(F.normalize(self.body(x)), F.normalize(self.centres))
        return F.cross_entropy(60 * (cosine - self.margin * F.one_hot(y, 10)), y)


@pytest.mark.parametrize(("margin", "judged"), [(0.0, True), (0.3, False)])
def test_prediction_that_knows_its_target_is_not_judged(margin: float, judged: bool) -> None:
    torch.manual_seed(0)
    given: Any = (torch.randn(64, 12), torch.randint(0, 10, (64,)))
    trace = check_gradients(Margin(margin), given).trace
    assert bool(trace.facts["constant_predictor"][0].constants) is judged


def test_a_batch_is_as_large_as_its_targets() -> None:
    report = check_gradients(nn.Sequential(nn.Linear(12, 4)), loss="CrossEntropyLoss", targets=torch.arange(24) % 4)
    assert report.trace.inputs.batch == 24


class Cancelled(nn.Module):
    """A score that a normalisation takes out again, in a branch behind a small scale, or as a weight that starts near zero."""

    def __init__(self, scale: float = 1.0, start: float = 1.0, *, shared: bool = True) -> None:
        super().__init__()
        self.stem, self.body, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.score, self.scale = nn.Parameter(start * torch.randn(1, 16)), nn.Parameter(torch.full((16,), scale))
        self.norm, self.shared = nn.LayerNorm(16, eps=0.0), shared

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        score = h * self.score
        branch = self.norm(self.body(h) + (score.sum(-1, keepdim=True) if self.shared else score))
        out: Tensor = self.head(h + self.scale * branch)
        return out


@pytest.mark.parametrize(("scale", "start"), [(1.0, 1.0), (1e-5, 1.0), (1.0, 1e-6), (1e-5, 1e-6)])
def test_what_cancels_out_is_found_behind_small_scales_and_near_zero(scale: float, start: float) -> None:
    torch.manual_seed(0)
    report = check_gradients(Cancelled(scale, start), torch.randn(32, 16))
    assert [(one.rule, one.names) for one in report.findings if one.severity.value == "error"] == [
        ("zero-gradient", ("score",))
    ]


@pytest.mark.parametrize(("scale", "start"), [(1e-6, 1.0), (1.0, 1e-7), (1e-6, 1e-7), (1.0, 0.0)])
def test_small_for_another_reason_is_no_suspicion(scale: float, start: float) -> None:
    """No pass beyond the first is asked for: LayerScale, and tokens and tables near zero, are in every second model."""
    torch.manual_seed(0)
    report = check_gradients(Cancelled(scale, start, shared=False), torch.randn(32, 16))
    assert not report.findings
    assert not {"jittered", "float64"} & set(report.trace.facts)
