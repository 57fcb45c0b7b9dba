"""Weights of one sign, and the share of the largest principal component: against closed forms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject, probe, take
from gradcheck_health.probe.facts.one_line import share
from gradcheck_health.probe.statistics.signs import one_sided
from gradcheck_health.records.evidence import OneSided
from gradcheck_health.records.inputs import Inputs


@pytest.mark.slow
@given(st.integers(16, 300), st.integers(16, 80), st.integers(0, 9))
def test_share_of_a_line_is_one_wherever_it_lies(rows: int, features: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    line = torch.randn(rows, 1, generator=generator) @ torch.randn(1, features, generator=generator)
    assert share(line + torch.randn(features, generator=generator)) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.slow
@given(st.integers(16, 60), st.integers(0, 9))
def test_share_of_orthogonal_steps(count: int, seed: int) -> None:
    """A walk along every axis but one, and the way back: unit vectors of which one is the mean direction of the others."""
    basis = torch.linalg.qr(torch.randn(count, count, generator=torch.Generator().manual_seed(seed)).double()).Q
    assert share(basis.cumsum(0)) == pytest.approx(2 / count, rel=1e-6)


def test_one_row_far_away_makes_no_line() -> None:
    rows = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
    usual = share(rows)
    rows[10] *= 1e4
    assert usual is not None
    assert share(rows) == pytest.approx(usual, abs=0.05)


@pytest.mark.parametrize("shape", [(8, 64), (64, 8)])
def test_a_few_rows_or_features_tell_nothing(shape: tuple[int, int]) -> None:
    assert share(torch.randn(shape)) is None


def test_equal_rows_tell_nothing() -> None:
    assert share(torch.ones(64, 32) * torch.randn(32)) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.abs_(), True),
        (lambda w: w.abs_().neg_(), True),
        (lambda w: w.relu_(), False),
        (nn.init.eye_, False),
        (lambda w: w, False),
        (lambda w: w.fill_(0.5), False),
        (lambda w: w.zero_(), False),
        (lambda w: w.fill_(float("nan")), False),
    ],
)
def test_which_weights_are_one_sided(change: object, told: bool) -> None:
    model = nn.ModuleDict({"wide": nn.Linear(48, 48), "narrow": nn.Linear(47, 48)})
    for layer in model.values():
        change(layer.weight.data)  # type: ignore[operator]
    assert one_sided(named_parameters(model)) == ((OneSided("wide.weight"),) if told else ())


def test_what_is_frozen_is_not_told() -> None:
    layer = nn.Linear(48, 48)
    layer.weight.data.abs_()
    layer.weight.requires_grad_(False)
    assert one_sided(named_parameters(layer)) == ()


class Spelled(nn.Module):
    """The same product, written in several ways."""

    def __init__(self, spelling: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (nn.Parameter(torch.rand(48, 48) / 24) for _ in range(2))
        self.spelling = spelling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for weight in (self.first, self.second):
            if self.spelling == "linear":
                x = nn.functional.linear(x, weight)
            elif self.spelling == "matmul":
                x = x @ weight.t()
            elif self.spelling == "mm":
                x = torch.mm(x, weight.T)
            elif self.spelling == "einsum":
                x = torch.einsum("bi,oi->bo", x, weight)
            else:
                x = nn.functional.conv1d(x.unsqueeze(-1), weight.unsqueeze(-1)).squeeze(-1)
        return x


@pytest.mark.parametrize("spelling", ["linear", "matmul", "mm", "einsum", "convolution"])
def test_a_product_is_seen_however_it_is_written(spelling: str) -> None:
    model = Spelled(spelling)
    subject = Subject(model, Inputs((torch.randn(64, 48, generator=torch.Generator().manual_seed(1)),), batch=64))
    with sandbox(model):
        trace = probe(subject)
        (seen,) = take("one_line", subject, trace)
    assert [one.parameter for one in trace.one_sided] == ["first", "second"]
    first, second = seen.one_sided
    assert (first.before, second.before, second.after) == pytest.approx((0.0795, 0.534, 0.534), abs=2e-3)
