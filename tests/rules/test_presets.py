"""Other tools' rules: their published formulas on numbers that are known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.report import Report
from gradcheck_health.rules import presets


class Scaled(nn.Module):
    """One linear layer: with inputs of ones and the loss sum(output) * scale / batch its gradient is `scale` everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def judged(model: nn.Module, preset: str, rule: str, loss: Callable[[torch.Tensor], torch.Tensor] | None = None) -> Report:
    return check_gradients(model, torch.ones(8, 4), loss=loss, preset=preset, select=[f"{preset}-{rule}"])


def scaled(scale: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda output: output.sum() * scale / len(output)


@pytest.mark.parametrize(
    ("preset", "rule", "scale", "ok"),
    [
        ("sagemaker", "vanishing-gradient", 1.01e-7, True),
        ("sagemaker", "vanishing-gradient", 0.99e-7, False),
        ("deepchecker", "vanishing-gradient", 1.01e-6, True),
        ("deepchecker", "vanishing-gradient", 0.99e-6, False),
        ("deepchecker", "exploding-gradient", 0.99e6, True),
        ("deepchecker", "exploding-gradient", 1.01e6, False),
        ("sagemaker", "exploding-tensor", 1e30, True),
        ("sagemaker", "exploding-tensor", float("nan"), False),
    ],
)
def test_published_limit_is_the_limit(preset: str, rule: str, scale: float, ok: bool) -> None:
    assert judged(Scaled(), preset, rule, scaled(scale)).ok is ok


@pytest.mark.parametrize(("bias", "ok"), [(0.0, True), (-100.0, False)])
def test_dead_relu_counts_units_that_are_off(bias: float, ok: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    nn.init.constant_(model[0].bias, bias)
    report = check_gradients(model, torch.randn(64, 4), preset="sagemaker", select=["sagemaker-dead-relu"])
    assert report.ok is ok
    if not ok:
        assert report.findings[0].names == ("1",)
        assert report.findings[0].got == 100.0


def test_unchanged_tensor_is_a_weight_that_a_step_does_not_move() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(model[0].bias, -100.0)  # off for good: no gradient behind it
    report = check_gradients(model, torch.randn(64, 4), preset="sagemaker", select=["sagemaker-unchanged-tensor"])
    assert set(report.findings[0].names) == {"0.weight", "0.bias", "2.weight"}


def test_autotrainer_wants_both_conditions() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    nn.init.constant_(model[1].weight, 1e-5)
    tiny = check_gradients(model, torch.ones(8, 4), loss=scaled(1.0), preset="autotrainer")
    large = check_gradients(model, torch.ones(8, 4), loss=scaled(1e3), preset="autotrainer")
    assert [finding.rule for finding in tiny.failures] == ["autotrainer-vanishing-gradient"]
    assert large.ok


def test_loss_that_falls_is_no_alarm() -> None:
    assert judged(Scaled(), "sagemaker", "loss-not-decreasing", lambda output: (output - 1).square().mean()).ok
    assert not judged(Scaled(), "sagemaker", "loss-not-decreasing", lambda output: (output - 1).square().mean() * 0 + 1).ok


def test_preset_takes_the_place_of_the_rules() -> None:
    report = judged(Scaled(), "deepchecker", "dead-activation")
    assert check_gradients(Scaled(), preset="autotrainer").rules == tuple(presets.load("autotrainer"))
    assert report.rules == ("deepchecker-dead-activation",)


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="sagemaker"):
        check_gradients(Scaled(), preset="sagmaker")
    with pytest.raises(UsageError, match="did you mean 'sagemaker'"):
        presets.load("sagmaker")


def test_model_is_left_as_it_was() -> None:
    model = Scaled()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_gradients(model, preset="sagemaker")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
