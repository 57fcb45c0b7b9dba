"""Which gradients of units are the same, against every pair of them compared."""

from __future__ import annotations

import pytest
import torch

from gradcheck_health.probe.graph.identical_units import _near


def compared(slopes: torch.Tensor) -> int:
    near = torch.cdist(slopes, slopes) <= 1e-9
    near &= slopes.any(1)
    return int((near.sum(1) > 1).sum())


def alike(slopes: torch.Tensor) -> int:
    return sum(map(len, _near(slopes[slopes.any(1)], 1e-9)))


@pytest.mark.parametrize("seed", range(40))
def test_gradients_that_are_the_same_are_found_among_others(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def upto(most: int) -> int:
        return int(torch.randint(1, most + 1, (), generator=generator))

    slopes = torch.randn(upto(12), 4 * upto(8), generator=generator, dtype=torch.float64)
    groups = [slopes[:1].expand(upto(9), -1), torch.zeros(upto(3), slopes.shape[1]), slopes[-1:].expand(upto(3), -1)]
    rows = torch.cat([slopes, *groups])[torch.randperm(len(slopes) + sum(map(len, groups)), generator=generator)]
    assert alike(rows) == compared(rows)


def test_more_units_than_are_compared_one_by_one_hide_none() -> None:
    """A hundred that differ come first: their lengths tell them apart."""
    others = torch.randn(100, 16, dtype=torch.float64) * torch.logspace(0, 1, 100, dtype=torch.float64).unsqueeze(1) ** 3
    assert alike(torch.cat([others, others[-1:].expand(50, -1)])) == 51
    assert alike(torch.full((4, 3), float("nan"), dtype=torch.float64)) == 0
