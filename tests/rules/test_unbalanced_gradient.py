"""Which spreads of elasticities are an imbalance: on chains and branches whose factors are known."""

from __future__ import annotations

import random

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


class Flat(nn.Module):
    """Queries that hardly matter in one block of two, since its input is near zero there: noise on the weights ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))
        self.shift = nn.Parameter(torch.zeros(16))

    def forward(self, x: Tensor) -> Tensor:
        first, second = (block(h) for block, h in zip(self.blocks, (1e-6 * x + self.shift, x), strict=True))
        out: Tensor = first + second
        return out


def test_imbalance_of_the_first_point_alone_needs_few_samples() -> None:
    torch.manual_seed(0)
    model = Flat()
    nn.init.zeros_(model.blocks[0].bias)  # type: ignore[arg-type]
    seen = check_gradients(model, torch.randn(32, 16), select=[RULE], seed=0)
    assert not seen.findings
    assert set(seen.trace.facts) == {"nudged"}
    assert set(report([1.0, 1e-5]).trace.facts) >= {"nudged", "kicked", "after_steps"}


class Side(nn.Module):
    """Two towers of random depth, width, activation and normalisation, one of them times a small number."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        chance = random.Random(seed)
        width, depth = chance.choice([8, 16, 48]), chance.randint(1, 4)
        act, norm = chance.choice([nn.ReLU, nn.Tanh, nn.GELU]), chance.choice([nn.LayerNorm, nn.BatchNorm1d, nn.Identity])
        self.small = 10.0 ** -chance.uniform(4.5, 8.0)
        self.towers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(16, width), *(m for _ in range(depth) for m in (nn.Linear(width, width), norm(width), act()))
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second = (tower(x) for tower in self.towers)
        out: Tensor = first + self.small * second
        return out


@pytest.mark.parametrize("seed", range(12))
def test_a_fixed_small_factor_is_named_whatever_is_perturbed(seed: int) -> None:
    torch.manual_seed(seed)
    seen = check_gradients(Side(seed), torch.randn(32, 16), select=[RULE], seed=0)
    assert [(one.rule, one.places[0].name[:9]) for one in seen.findings] == [(RULE, "towers.1.")]


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


@pytest.mark.slow
def test_projections_are_not_compared_with_one_another_but_towers_are() -> None:
    x = torch.randn(32, 16)
    assert check_gradients(Projections(1), x, select=[RULE], seed=0).findings == ()
    (finding,) = check_gradients(Projections(2), x, select=[RULE], seed=0).findings
    assert finding.names[0].startswith("to_scores.")
