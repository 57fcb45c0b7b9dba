"""Inputs that ran become smaller where a pass over them costs much, and only as far as nothing is lost."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcheck_health.inputs import synthesize
from gradcheck_health.inputs.search.batch_size import STEPS
from gradcheck_health.inputs.static.size_attributes import sizes


class Windows(nn.Module):
    """Each step is computed of the 16 steps before it; the first matrix is as wide as 16 steps of 64 features."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.out = nn.Linear(16 * 64, 32), nn.Linear(32, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        samples, steps, features = x.shape
        if features != 64:
            raise ValueError(f"64 features expected, got {features}")
        if steps < 16:
            raise ValueError("at least 16 steps expected")
        windows = [x[:, t - 16 : t].reshape(samples, -1) for t in range(16, steps)]
        return torch.stack([self.out(self.mix(window).tanh()) for window in windows], 1)


@pytest.mark.slow
def test_steps_that_nothing_asked_for_are_fewer_where_each_costs() -> None:
    inputs = synthesize(Windows())
    (x,) = inputs.args
    assert x.shape[2] == 64 and 16 < x.shape[1] <= 512


class Wide(nn.Module):
    """A costly net of pictures of one size."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.body, self.side = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1)), side
        self.head = nn.Linear(64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] != self.side:
            raise ValueError(f"pictures of {self.side} expected")
        return self.head(self.body(x).mean((2, 3)))


@pytest.mark.slow
def test_size_that_the_model_asks_for_stays() -> None:
    (x,) = synthesize(Wide(160)).args
    assert x.shape[2:] == (160, 160)


class Levels(nn.Module):
    """Its second layer works on large pictures alone, and it says which it was made for."""

    def __init__(self) -> None:
        super().__init__()
        self.img_size = 64
        self.stem = nn.Conv2d(3, 96, 3, padding=1)
        self.deep = nn.Conv2d(96, 96, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.stem(x)
        return self.deep(h) if h.shape[-1] >= 64 else h


def test_a_size_on_which_less_of_the_model_runs_is_not_taken() -> None:
    (x,) = synthesize(Levels()).args
    assert x.shape[-1] == 64


def test_cheap_inputs_keep_their_size() -> None:
    (x,) = synthesize(nn.Conv1d(2, 4, 3)).args
    assert x.shape[2] == 64


def test_features_of_a_recurrent_layer_are_no_side_of_a_picture() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.GRU(900, 8))
    assert sizes(net, {"T": 7}) == {}


@pytest.mark.parametrize("width", [16, 64])
def test_steps_whose_number_is_free_outlast_the_rules_on_time(width: int) -> None:
    """A budget that is met by fewer samples must not be met by shorter sequences."""
    layer = nn.TransformerEncoderLayer(width, 4, 2 * width, batch_first=True)
    model = nn.Sequential(nn.Embedding(120, width), nn.TransformerEncoder(layer, 2), nn.Linear(width, 120))
    (tokens,) = synthesize(model).args
    assert tokens.shape[1] in STEPS
