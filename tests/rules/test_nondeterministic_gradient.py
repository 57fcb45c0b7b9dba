"""Bit for bit: what is seeded is the same twice, what is not is told with its operation."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import Finding, Severity, check_gradients
from gradcheck_health.probe.facts import twice


class Noisy(nn.Module):
    """A layer whose output is multiplied by what `draw` gives."""

    def __init__(self, draw: Any) -> None:
        super().__init__()
        self.layer, self.draw = nn.Linear(6, 6), draw

    def forward(self, x: Tensor) -> Tensor:
        return torch.mul(self.layer(x), self.draw())


class Counting(nn.Module):
    """Counts its calls: state that is restored is no difference."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(6, 6), 0
        self.register_buffer("seen", torch.zeros(()))
        self.generator = torch.Generator().manual_seed(7)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen += 1
        return self.layer(x) * self.calls * self.seen + torch.rand((), generator=self.generator)


class Backwards(torch.autograd.Function):
    """Forward is the same each time, backward is not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * (2 + int.from_bytes(os.urandom(4), "little") / 2**32)


class Random(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return Backwards.apply(self.layer(x))  # type: ignore[no-untyped-call]


def found(model: nn.Module) -> list[Finding]:
    return list(check_gradients(model, torch.randn(8, 6), select=["nondeterministic-gradient"]).findings)


@pytest.mark.parametrize(
    "model",
    [
        Noisy(lambda: torch.rand(6)),
        nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.BatchNorm1d(6)),
        Counting(),
    ],
    ids=["seeded", "dropout", "state"],
)
def test_what_is_seeded_or_restored_is_the_same(model: nn.Module) -> None:
    assert found(model) == []


def test_operation_that_differs_first_is_named() -> None:
    model = nn.Sequential(nn.Linear(6, 6), Noisy(lambda: torch.tensor([byte / 255 for byte in os.urandom(6)])), nn.ReLU())
    (finding,) = found(model)
    assert finding.severity is Severity.NOTE
    assert finding.names == ("1",)
    assert "test_nondeterministic_gradient.py:" in (finding.places[0].source or "")
    assert "in the output" in finding.message


def test_backward_alone() -> None:
    (finding,) = found(Random())
    assert finding.message.endswith("in the gradient")
    assert "layer.weight" in dict(finding.details)["differing"]
    assert 0 < (finding.got or 0) < 0.5


def test_large_healthy_model_is_not_run_twice() -> None:
    large = nn.Sequential(nn.Linear(6, 300), nn.ReLU(), nn.Linear(300, 400))
    for model, asked in ((large, False), (nn.Linear(6, 6), True)):
        report = check_gradients(model, torch.randn(8, 6), select=["nondeterministic-gradient"])
        assert ("twice" in report.trace.facts) is asked


@pytest.mark.parametrize("entries", [3, 4096])
@pytest.mark.parametrize(
    "make", [torch.zeros, lambda *shape: torch.zeros(*shape).to_sparse(), lambda a, b: torch.zeros(b, a).t()]
)
def test_every_bit_of_every_gradient_counts(make: Any, entries: int) -> None:
    """Small ones and large ones, dense or not; and whether one has arrived at all."""
    model = nn.ParameterList(nn.Parameter(torch.zeros(2, entries)) for _ in range(2))
    assert twice._bits(model) == (0, [])
    seen = []
    for place, value in ((0, 0.0), (1, 0.0), (1, 1e-45)):
        model[place].grad = make(2, entries) + make(2, entries)
        if value:
            dense = model[place].grad.to_dense()
            dense[1, -1] = value
            model[place].grad = dense if model[place].grad.layout == torch.strided else dense.to_sparse()
        number, held = twice._bits(model)
        assert number != 0
        seen.append((number, [one.to_dense().tolist() for one in held]))
    assert len({str(one) for one in seen}) == 3
