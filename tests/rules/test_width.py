"""The verdict on a flow speaks of SGD, whose steps are small beside the weights: it does not depend on the width."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcheck_health import Report, check_gradients


def net(width: int, depth: int, act: type[nn.Module]) -> nn.Sequential:
    layers = [layer for k in range(depth) for layer in (nn.Linear(width if k else 16, width), act())]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def verdict(report: Report) -> list[str]:
    return [str(one.severity) for one in report.findings if one.rule == "vanishing-gradient"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [32, 192, 768])
@pytest.mark.parametrize(("depth", "act"), [(6, nn.Sigmoid), (13, nn.ReLU)])
def test_vanishing_at_every_width(width: int, depth: int, act: type[nn.Module]) -> None:
    torch.manual_seed(0)
    report = check_gradients(net(width, depth, act), torch.randn(32, 16), select=["vanishing-gradient"])
    assert verdict(report) == ["error"]


def test_verdict_on_adam_comes_from_adams_steps() -> None:
    torch.manual_seed(0)
    settings = {"select": ["vanishing-gradient"], "optimizer": "adam"}
    report = check_gradients(net(192, 6, nn.Sigmoid), torch.randn(32, 16), **settings)
    assert verdict(report) == []


def test_narrow_nets_take_the_steps_of_adam_as_before() -> None:
    from gradcheck_health.probe.facts.after_steps import _proportion

    torch.manual_seed(0)
    assert _proportion(nn.Linear(16, 16).weight, None) > 1e-3 > _proportion(nn.Linear(1024, 1024).weight, None)
    assert _proportion(nn.Linear(16, 16).bias, None) == float("inf")
