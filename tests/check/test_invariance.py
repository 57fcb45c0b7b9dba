"""Verdicts do not change with what is no property of the model: loss scale, batch size, parametrisation, order."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradcheck_health import check_gradients
from gradcheck_health.records.report import Report
from gradcheck_health.rules.analysis import flow

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


def verdict(report: Report) -> set[tuple[str, str]]:
    return {(finding.rule, finding.severity.value) for finding in report.active}


def stack(act: str, depth: int, gain: float, width: int = 24, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=gain * width**-0.5)
        layers += [linear, ACTIVATIONS[act]()]
    return nn.Sequential(*layers, nn.Linear(width, 3))


nets = st.builds(
    stack,
    act=st.sampled_from(sorted(ACTIVATIONS)),
    depth=st.sampled_from([2, 6, 12]),
    gain=st.sampled_from([0.3, 1.0, 1.4, 4.0]),
    seed=st.integers(0, 3),
)
few = settings(max_examples=12, deadline=None, derandomize=True)
"""Each example is a handful of checks; the seeds are fixed so that a run never flakes."""


@pytest.mark.slow
@few
@given(model=nets, scale=st.sampled_from([1e-5, 1e5]))
def test_scale_of_the_loss(model: nn.Sequential, scale: float) -> None:
    x = torch.randn(32, 24, generator=torch.Generator().manual_seed(1))
    plain = check_gradients(model, x, loss=lambda y: y.square().mean())
    scaled = check_gradients(model, x, loss=lambda y: scale * y.square().mean())
    # what float16 would hold is a question of scale: that is what a loss scale is for
    one, other = ({v for v in verdict(report) if not v[0].startswith("half-precision")} for report in (plain, scaled))
    assert one == other
    one, other = flow.ratio(plain.trace), flow.ratio(scaled.trace)
    assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.slow
@few
@given(model=nets)
def test_size_of_the_batch(model: nn.Sequential) -> None:
    x = torch.randn(32, 24, generator=torch.Generator().manual_seed(1))
    larger = torch.randn(128, 24, generator=torch.Generator().manual_seed(2))
    assert verdict(check_gradients(model, x)) == verdict(check_gradients(model, larger))


@pytest.mark.slow
@few
@given(depth=st.sampled_from([2, 6, 12]), gain=st.sampled_from([0.3, 1.4, 4.0]), c=st.sampled_from([1e-2, 0.5, 8.0, 1e2]))
def test_rescaling_that_preserves_the_function(depth: int, gain: float, c: float) -> None:
    """(c W_1, c b_1) and W_2 / c are the same ReLU network."""
    model = stack("relu", depth, gain)
    other = copy.deepcopy(model)
    first, second = other[0], other[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    first.weight.data *= c
    first.bias.data *= c
    second.weight.data /= c
    x = torch.randn(32, 24, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(model(x), other(x), rtol=1e-3, atol=1e-4)
    between = copy.deepcopy(model)
    # inside the stretch that is judged: neither its first nor its last tensor is rescaled
    if depth > 2:
        one, two = between[2], between[4]
        assert isinstance(one, nn.Linear)
        assert isinstance(two, nn.Linear)
        one.weight.data *= c
        one.bias.data *= c
        two.weight.data /= c
        ratios = [flow.ratio(check_gradients(net, x, select=["vanishing-gradient"]).trace) for net in (model, between)]
        assert ratios[0] == pytest.approx(ratios[1], rel=1e-3)
        assert verdict(check_gradients(model, x)) == verdict(check_gradients(between, x))


class Ordered(nn.Module):
    """The same network, its layers registered in any order."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Linear(16, 16) for _ in range(10)]
        for i in order:
            self.add_module(f"layer{i}", layers[i])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i in range(10):
            x = torch.sigmoid(self.get_submodule(f"layer{i}")(x))
        return x


@pytest.mark.slow
@few
@given(order=st.permutations(range(10)))
def test_order_of_registration(order: list[int]) -> None:
    x = torch.randn(32, 16, generator=torch.Generator().manual_seed(1))
    plain, shuffled = check_gradients(Ordered(list(range(10))), x), check_gradients(Ordered(order), x)
    assert plain.findings == shuffled.findings
    assert list(plain.trace.parameters) == list(shuffled.trace.parameters)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_report() -> None:
    model = stack("sigmoid", 12, 1.0)
    assert check_gradients(model, seed=3).to_json() == check_gradients(model, seed=3).to_json()


@pytest.mark.slow
def test_a_factory_is_confirmed_over_initialisations() -> None:
    report = check_gradients(lambda: stack("sigmoid", 12, 1.0, seed=int(torch.randint(1000, ()))))
    assert verdict(report) == {("vanishing-gradient", "error")}
    ratios = flow.seed_ratios(report.trace)
    assert 2 <= len(ratios) == report.rounds <= 5
    assert len(set(ratios)) == report.rounds
