"""Which spreads of elasticities are an imbalance: on chains and branches whose factors are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import Report, check_gradients

RULE = "unbalanced-gradient"


class Branches(nn.Module):
    """A sum of branches, each times a factor: the elasticities of their weights stand in the ratio of the factors."""

    def __init__(self, factors: list[float]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.branches = nn.ModuleList(nn.Linear(16, 16) for _ in factors)
        self.factors = factors

    def forward(self, x: Tensor) -> Tensor:
        parts = [factor * branch(x) for factor, branch in zip(self.factors, self.branches, strict=True)]
        return torch.stack(parts).sum(0)


def report(factors: list[float]) -> Report:
    return check_gradients(Branches(factors), torch.randn(32, 16), select=[RULE], seed=0)


@pytest.mark.parametrize(
    ("factors", "found"),
    [
        ([1.0, 1e-3], ()),
        ([1.0, 1e-5], ("branches.1.weight",)),
        ([1.0, 1e-5, 1.0, 0.1], ("branches.1.weight",)),
        ([1.0, 1e-4, 1e-8], ("branches.2.weight", "branches.1.weight")),
        ([10.0**-k for k in range(8)], ()),
    ],
    ids=["a little", "one of two", "one of four", "three in steps of 1e4", "a gentle slope"],
)
def test_imbalance_is_a_step_and_no_slope(factors: list[float], found: tuple[str, ...]) -> None:
    findings = report(factors).findings
    assert tuple(name for finding in findings for name in finding.names) == found
    if findings:
        assert findings[0].got == pytest.approx(max(factors) / min(factors), rel=0.2)


class Tokens(nn.Module):
    """Parameters of one class whose names differ in a number: each has a part of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.token1, self.token2 = (nn.Parameter(torch.randn(1, 16)) for _ in range(2))
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(x + self.token1 + 1e-5 * self.token2)
        return out


def test_numbers_in_the_name_of_a_parameter_are_part_of_it() -> None:
    torch.manual_seed(0)
    assert check_gradients(Tokens(), torch.randn(32, 16), select=[RULE], seed=0).findings == ()


class Projections(nn.Module):
    """Two chains of the same layers, one of them times a factor."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.to_scores, self.to_values = (
            nn.Sequential(*(part for _ in range(layers) for part in (nn.Linear(16, 16), nn.SiLU()))) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = 1e-5 * self.to_scores(x) + self.to_values(x)
        return out


def test_projections_are_not_compared_with_one_another_but_towers_are() -> None:
    x = torch.randn(32, 16)
    assert check_gradients(Projections(1), x, select=[RULE], seed=0).findings == ()
    (finding,) = check_gradients(Projections(2), x, select=[RULE], seed=0).findings
    assert finding.names[0].startswith("to_scores.")
