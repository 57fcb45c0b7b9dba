"""The spread of a gradient over powers of ten, against counting by hand."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from gradcheck_health.probe.statistics.histogram import HIGHEST, LOWEST, SAMPLE, Spread, spreads


def by_hand(values: list[float]) -> Spread:
    finite = [abs(value) for value in values if value and math.isfinite(value)]
    decades = Counter(math.floor(math.log10(value)) for value in finite)
    return Spread(values.count(0.0), tuple(sorted(decades.items())))


def test_small_tensors_are_counted_whole() -> None:
    rows = [[1.5, -20.0, 0.0, 0.03], [math.nan, math.inf, 5e-7], [0.0] * 5]
    assert spreads([torch.tensor(row, dtype=torch.float64) for row in rows]) == [by_hand(row) for row in rows]


def test_without_a_gradient_there_is_nothing_to_count() -> None:
    assert spreads([None, torch.empty(0), torch.arange(3), torch.tensor(2.0)]) == [Spread()] * 3 + [Spread(0, ((0, 1),))]


def test_a_large_tensor_is_sampled_over_all_its_columns() -> None:
    """One column of a matrix is larger than the others: a sample that stayed in a column would see one or the other only."""
    matrix = torch.full((4096, 64), 2e-3)
    matrix[:, ::4] = 2.0
    (found,) = spreads([matrix])
    assert sum(count for _, count in found.decades) == SAMPLE
    shares = {decade: count / SAMPLE for decade, count in found.decades}
    assert shares == pytest.approx({-3: 0.75, 0: 0.25}, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64])
def test_every_dtype_and_layout(dtype: torch.dtype) -> None:
    dense = torch.full((4, 4), 0.5, dtype=dtype)
    (found,) = spreads([dense.t()])
    assert dict(found.decades)[-1] == 16


def test_what_is_beyond_every_bin_is_in_the_last() -> None:
    (found,) = spreads([torch.tensor([1e-300, 1e300], dtype=torch.float64)])
    assert found.decades == ((LOWEST, 1), (HIGHEST, 1))
