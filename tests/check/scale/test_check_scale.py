"""`check_scale` on models whose scale is known in closed form, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import Sweep, UsageError, check_gradients, check_scale

WIDTH = 64


def plain(act: Callable[[], nn.Module], gain: float | None, norm: Any = None) -> Callable[[int], nn.Module]:
    """Bias-free layers with weights of variance gain / width; torch's own initialisation where it is None."""

    def linear() -> nn.Linear:
        layer = nn.Linear(WIDTH, WIDTH, bias=False)
        if gain is not None:
            nn.init.normal_(layer.weight, std=math.sqrt(gain / WIDTH))
        return layer

    def build(depth: int) -> nn.Module:
        blocks = [m for _ in range(depth + 1) for m in (linear(), *([norm(WIDTH)] if norm else []), act())]
        return nn.Sequential(*blocks, linear())

    return build


class Branch(nn.Module):
    def __init__(self, normed: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH) if normed else nn.Identity()
        self.rise, self.fall = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.normal_(self.rise.weight, std=math.sqrt(2 / WIDTH))
        nn.init.normal_(self.fall.weight, std=math.sqrt(1 / WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x + self.fall(torch.relu(self.rise(self.norm(x))))
        return result


def residual(normed: bool) -> Callable[[int], nn.Module]:
    def build(depth: int) -> nn.Module:
        stem = nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.normal_(stem.weight, std=math.sqrt(1 / WIDTH))
        return nn.Sequential(stem, *(Branch(normed) for _ in range(depth)), nn.Linear(WIDTH, WIDTH))

    return build


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "squared"),
    [
        (plain(nn.ReLU, 1.0), 0.5),
        (plain(nn.ReLU, None), 1 / 6),
        (plain(nn.Tanh, 4.0), 1.3627),
        (plain(nn.Sigmoid, 1.0), 0.0557),
        (residual(normed=False), 2.0),
    ],
    ids=["ReLU Xavier", "ReLU default", "tanh 4", "sigmoid Xavier", "He residual"],
)
def test_depth_scale_is_that_of_the_theory(build: Any, squared: float) -> None:
    """Mean-field gains a layer; finite widths take about 5 / width off the logarithm of the squared gain."""
    report = check_scale(build, depth=(4, 8, 16), select=["depth-limited"], rounds=4)
    fit = report.trace.scale.fit
    assert fit.law == "exponential"
    assert fit.slope == pytest.approx(math.log10(squared) / 2, abs=0.02)
    assert fit.check is not None and fit.check.depth not in fit.depths and abs(fit.check.off) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("build", [plain(nn.ReLU, 2.0, nn.LayerNorm), residual(normed=True)], ids=["LN", "pre-norm"])
def test_what_depth_does_not_hurt_has_no_limit(build: Any) -> None:
    report = check_scale(build, depth=(4, 8, 16), select=["depth-limited"], rounds=4)
    assert report.trace.scale.fit.law in ("none", "power") and report.trace.scale.fit.deepest is None
    assert report.findings == ()


@pytest.mark.slow
def test_limit_is_where_the_check_itself_finds_it() -> None:
    """The depth that the fit predicts is the one from which vanishing-gradient speaks, within a fifth."""
    build = plain(nn.Sigmoid, 1.0)
    deepest = check_scale(build, depth=(1, 2, 3), select=["depth-limited"], rounds=4).trace.scale.fit.deepest

    def sick(depth: int) -> bool:
        return bool(check_gradients(lambda: build(depth), select=["vanishing-gradient"], rules={}).failures)

    assert not sick(math.floor(deepest * 0.8)) and sick(math.ceil(deepest * 1.2))


@pytest.mark.slow
def test_zero_initialisation_is_measured_where_the_weights_have_moved() -> None:
    def build(depth: int) -> nn.Module:
        head = nn.Linear(WIDTH, 4)
        nn.init.zeros_(head.weight)
        return nn.Sequential(*(plain(nn.ReLU, 1.0)(depth)), head)

    scale = check_scale(build, depth=(2, 4, 8), select=["depth-limited"], rounds=2).trace.scale
    assert all(point.kicked for point in scale.points) and scale.fit.slope == pytest.approx(math.log10(0.5) / 2, abs=0.04)


@pytest.mark.slow
def test_cost_is_that_of_the_formulas() -> None:
    """A product of m x k and k x n takes 2mkn operations; backward takes two of them, but one at the input."""

    def build(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(8, width, bias=False), nn.Linear(width, 4, bias=False))

    scale = check_scale(build, width=(16, 32), select=["width-unstable"], rounds=1, batch_size=32).trace.scale
    for one in scale.points:
        assert one.parameters == 12 * one.width
        assert one.flops == 2 * 32 * 8 * one.width * 2 + 2 * 32 * 4 * one.width * 3
        assert one.seconds > 0
        # weights and gradients, the input, and the hidden values
        assert one.memory == 4 * (2 * 12 * one.width + 32 * 8 + 32 * one.width)
    assert scale.fit is None and "2 widths and 1 seeds" in scale.notes[0]


@pytest.mark.slow
def test_size_that_cannot_be_built_is_left_out_with_the_reason() -> None:
    def build(d_model: int) -> nn.Module:
        return nn.TransformerEncoderLayer(d_model, nhead=4, dim_feedforward=2 * d_model, batch_first=True)

    scale = check_scale(build, width=(16, 18, 32), select=["width-unstable"], rounds=1).trace.scale
    (skipped,) = [one for one in scale.points if one.skipped]
    assert skipped.width == 18 and "divisible" in skipped.skipped and scale.width_name == "d_model"
    assert scale.widths == (16, 32)


@pytest.mark.slow
def test_a_sweep_in_a_check_is_the_same_and_leaves_the_factory_alone() -> None:
    build = plain(nn.Sigmoid, 1.0)
    handed = check_gradients(Sweep(build, depth=(1, 2, 3)), select=["depth-limited"], rounds=2).trace.scale
    called = check_scale(build, depth=(1, 2, 3), select=["depth-limited"], rounds=2).trace.scale
    assert handed.fit == called.fit


@pytest.mark.slow
def test_what_is_accepted_and_expected_counts_for_a_sweep() -> None:
    build, sizes = plain(nn.Sigmoid, 1.0), (1, 2, 3)
    kept = check_scale(build, depth=sizes, rounds=2, ignore={"depth-limited": "it stays as it is"}, select=["depth-limited"])
    assert [one.suppressed for one in kept.findings] == ["it stays as it is"] and kept.unmatched == ()
    sound = plain(nn.ReLU, 2.0, nn.LayerNorm)
    wanted = check_scale(sound, depth=sizes, rounds=2, expect={"depth-limited": "known"}, select=["depth-limited"])
    assert [one.message for one in wanted.failures] == ["expected, and not found"]


@pytest.mark.slow
def test_entry_of_a_configuration_is_a_size() -> None:
    class Config:
        def __init__(self, n_layer: int = 2, n_embd: int = 16) -> None:
            self.n_layer, self.n_embd = n_layer, n_embd

    class Net(nn.Sequential):
        def __init__(self, config: Config) -> None:
            blocks = [m for _ in range(config.n_layer) for m in (nn.Linear(config.n_embd, config.n_embd), nn.Tanh())]
            super().__init__(*blocks)

    Net.__init__.__annotations__["config"] = Config  # a local class is no name that can be resolved
    scale = check_scale(Net, depth=(2, 3), width=(16, 32), select=["depth-limited"], rounds=1).trace.scale
    assert (scale.depth_name, scale.width_name) == ("config.n_layer", "config.n_embd")
    assert [one.parameters for one in scale.points if not one.skipped][:3] == [544, 816, 2112]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({}, "a sweep needs depths, widths or both"),
        ({"depth": (2,)}, "depth: got 2 alone; at least two are needed"),
        ({"depth": (2, 2)}, "depth: got 2, 2; each may be there once"),
        ({"depth": (2, 0)}, "depth: got 0; allowed: whole numbers from 1 on"),
        ({"width": (16, 32)}, "has no parameter for the width"),
        ({"depth": (2, 4), "depth_name": "dept"}, "takes no argument 'dept' (did you mean 'depth'?)"),
        ({"depth": tuple(range(1, 100))}, "a sweep of 99 sizes; at most 64"),
        ({"depth": (2, 4), "width": (3, 5), "width_name": "depth"}, "depth and width are the same argument"),
    ],
)
def test_what_is_no_sweep_is_refused(sizes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_scale(plain(nn.ReLU, None), **sizes)
    assert reason in str(caught.value)
