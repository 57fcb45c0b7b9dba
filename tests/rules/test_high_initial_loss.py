"""The loss of the best constant output against closed forms, and when it is asked for at all."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradcheck_health import check_gradients, rules
from gradcheck_health.probe.experiments.loss_input import Entering
from gradcheck_health.probe.facts.constant_predictor import best_constant
from gradcheck_health.records.evidence import ConstantPredictor
from gradcheck_health.records.trace import Trace

RULE = "high-initial-loss"


def entropy(frequencies: list[float]) -> float:
    return -sum(p * math.log(p) for p in frequencies if p)


def cross_entropy_of(y: Tensor, **options: Any) -> Entering:
    logits = 30 * torch.randn(len(y), 4, generator=torch.Generator().manual_seed(0))

    def loss(output: Tensor) -> Tensor:
        return F.cross_entropy(output, y, **options)

    return Entering(logits, loss, float(loss(logits)), 1)


@pytest.mark.parametrize("counts", [(25, 25, 25, 25), (70, 20, 5, 5), (96, 2, 1, 1)])
def test_best_constant_under_cross_entropy_is_the_entropy_of_the_labels(counts: tuple[int, ...]) -> None:
    y = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    found = best_constant(cross_entropy_of(y))
    assert found.best == pytest.approx(entropy([c / 100 for c in counts]), rel=1e-3)
    assert found.neutral == pytest.approx(math.log(4), rel=1e-5)


def test_label_smoothing_has_the_entropy_of_the_smoothed_labels() -> None:
    y = torch.repeat_interleave(torch.arange(4), torch.tensor([70, 20, 5, 5]))
    smooth = [0.9 * p + 0.1 / 4 for p in (0.7, 0.2, 0.05, 0.05)]
    assert best_constant(cross_entropy_of(y, label_smoothing=0.1)).best == pytest.approx(entropy(smooth), rel=1e-3)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1000.0, 50.0), (0.0, 1e-3)])
def test_best_constant_under_a_squared_error_is_the_variance_of_the_targets(mean: float, std: float) -> None:
    targets = mean + std * torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    found = best_constant(Entering(torch.zeros(200, 3), lambda y: F.mse_loss(y, targets), 1.0, None))
    assert found.best == pytest.approx(float(targets.double().var(0, correction=0).mean()), rel=1e-3)
    assert found.neutral == pytest.approx(float(targets.double().square().mean()), rel=1e-3)


def test_best_constant_probability_is_the_frequency() -> None:
    y = (torch.arange(100) % 4 == 0).float().unsqueeze(1)
    seen = Entering(torch.full((100, 1), 0.999), lambda p: F.binary_cross_entropy(p, y), 5.0, None, torch.sigmoid)
    assert best_constant(seen).best == pytest.approx(entropy([0.25, 0.75]), rel=1e-3)
    assert best_constant(seen).neutral == pytest.approx(math.log(2), rel=1e-5)


def test_best_constant_under_an_absolute_error_is_the_median() -> None:
    targets = torch.tensor([0.0, 1.0, 2.0, 3.0, 50.0]).unsqueeze(1)
    found = best_constant(Entering(torch.full((5, 1), 99.0), lambda y: F.l1_loss(y, targets), 1.0, None))
    assert found.best == pytest.approx(float((targets - 2).abs().mean()), rel=0.05)


def test_growth_is_the_power_of_the_loss() -> None:
    y = torch.arange(60) % 4
    assert best_constant(cross_entropy_of(y)).growth == pytest.approx(1.0, abs=0.1)
    targets, far = torch.randn(60, 2, generator=torch.Generator().manual_seed(2)), torch.full((60, 2), 80.0)
    assert best_constant(Entering(far, lambda o: F.mse_loss(o, targets), 6400.0, None)).growth == pytest.approx(2.0, abs=0.05)
    assert best_constant(Entering(far, lambda o: F.l1_loss(o, targets), 80.0, None)).growth == pytest.approx(1.0, abs=0.05)


class Net(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 16), nn.Linear(16, 3)
        with torch.no_grad():
            self.head.weight.mul_(scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(x)))


def checked(scale: float, **settings: Any) -> Any:
    torch.manual_seed(0)
    return check_gradients(Net(scale), select=[RULE], **settings)


def test_a_sound_model_is_not_asked() -> None:
    for loss in ("CrossEntropyLoss", "MSELoss", None):
        report = checked(1.0, loss=loss)
        assert "constant_predictor" not in report.trace.facts
        assert not report.findings


def test_a_second_batch_confirms() -> None:
    report = checked(300.0, loss="CrossEntropyLoss")
    (fact,) = report.trace.facts["constant_predictor"]
    first, second = fact.constants
    assert first != second
    (finding,) = report.findings
    assert finding.names == ("head",)
    assert finding.got == pytest.approx(min(c.loss / c.best for c in (first, second)))


@pytest.mark.parametrize("factor", [1e-5, 1e5])
def test_the_scale_of_the_loss_does_not_matter(factor: float) -> None:
    y = torch.arange(64) % 3

    def scaled(output: Tensor) -> Tensor:
        return factor * F.cross_entropy(output, y)

    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    (plain,) = checked(300.0, inputs=x, loss="cross_entropy", targets=y).findings
    (finding,) = checked(300.0, inputs=x, loss=scaled).findings
    assert finding.got == pytest.approx(plain.got, rel=0.02)
    assert not checked(1.0, inputs=x, loss=scaled).findings


def verdict(constant: ConstantPredictor, trace: Trace, **options: Any) -> int:
    judged = replace(trace, facts={"constant_predictor": (trace.only(constants=(constant,)),)})
    return len(list(rules.builtin()[RULE](judged, **options)))


def test_the_limit_and_what_is_no_base() -> None:
    trace = checked(1.0, loss="MSELoss").trace
    base = ConstantPredictor(loss=5.5, neutral=1.0, best=1.0, near=1.0, reach=0.0, output=2.0)
    assert verdict(base, trace) == 1
    assert verdict(base, trace, max_ratio=6.0) == 0
    assert verdict(replace(base, loss=4.9), trace) == 0
    assert verdict(replace(base, growth=2.0), trace) == 0
    assert verdict(replace(base, growth=2.0, loss=26.0), trace) == 1
    assert verdict(replace(base, best=-0.1), trace) == 0  # not bounded by zero
    assert verdict(replace(base, best=0.0), trace) == 0
    assert verdict(replace(base, best=0.0, neutral=0.54), trace) == 1  # of targets that are all alike
    assert verdict(replace(base, best=0.0, neutral=0.0), trace) == 0  # a norm of the output
    assert verdict(replace(base, neutral=5.0, best=0.5, near=0.5, reach=4.0), trace) == 0  # a rare class
    assert verdict(replace(base, neutral=5.4, best=0.5, near=4.0, reach=900.0), trace) == 1  # targets far away
