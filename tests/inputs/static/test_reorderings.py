"""Shapes before a rearrangement, read from those behind it: torch itself rearranges them again."""

from __future__ import annotations

import pytest
import torch

from gradcheck_health.inputs.plan import Leaf
from gradcheck_health.inputs.static.reorderings import Step, undo


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_one_part_of_unbind_lacks_its_axis_alone(axis: int) -> None:
    behind = (2, 3)
    before = undo(Leaf(behind), (Step("unbind", (axis,)), Step("taken", (0, 7))))
    assert isinstance(before, Leaf)
    sizes = [size for size in before.dims if isinstance(size, int)]
    assert len(sizes) == 3
    assert torch.empty(sizes).unbind(axis)[0].shape == behind
    assert sizes[axis] == 7


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_what_squeeze_takes_out_is_put_in_again(axis: int) -> None:
    before = undo(Leaf((2, 3)), (Step("squeeze", (axis,)),))
    assert isinstance(before, Leaf)
    sizes = [size for size in before.dims if isinstance(size, int)]
    assert torch.empty(sizes).squeeze(axis).shape == (2, 3)
