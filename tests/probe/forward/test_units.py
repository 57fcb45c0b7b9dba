"""Units that are alive, found from a few places, against all of the tensor."""

from __future__ import annotations

import math

import pytest
import torch

from gradcheck_health.probe.forward.activations import FUNCTIONS
from gradcheck_health.probe.forward.units import Units

SHAPES = [((2000, 512), 1), ((32, 24, 30, 30), 1), ((64, 100, 96), 2), ((20_000,), 0), ((3, 7), 1), ((2, 3, 500, 500), 1)]


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("function", [torch.relu, torch.nn.functional.relu6, torch.nn.functional.hardswish])
def test_a_unit_that_is_alive_in_one_place_alone_is_found(function: object, shape: tuple[int, ...], axis: int) -> None:
    y = torch.zeros(shape)
    units = y.movedim(axis, -1)
    if units.dim() > 1:
        units = units.flatten(0, -2)
    units[..., 0] = 1.0
    if units.dim() > 1:
        units[-1, 2] = 1.0  # one entry, far from where is looked first
    seen = Units("", "", FUNCTIONS[function], 0)
    seen.add(y if units.dim() == 1 else units.reshape(*y.movedim(axis, -1).shape).movedim(-1, axis), axis, (0.0, math.inf))
    assert seen.alive is not None
    assert seen.alive.nonzero().flatten().tolist() == ([0] if units.dim() == 1 else [0, 2])
