"""Random modules: bit-identical and trace-free, gradients as bare autograd, norms as in float64, and no verdict by scale."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health.probe import Trace
from tests.model.leftovers import grammar, invariants
from tests.model.leftovers.grammar import BLOCKS, HEADS, Program
from tests.model.leftovers.invariants import broken, complaint

pytestmark = pytest.mark.filterwarnings("ignore")

RUN, PORTIONS = 1000, 8
"""Modules a run; `python -m benchmarks.leftovers.random_modules` takes as many as are wanted, and others."""


@pytest.mark.parametrize("block", BLOCKS)
def test_each_block_alone(block: str) -> None:
    assert broken(Program((block,), "tensor", 1)) == []


@pytest.mark.slow
@pytest.mark.parametrize("portion", range(PORTIONS))
def test_random_modules(portion: int) -> None:
    for seed in range(portion, RUN, PORTIONS):
        said = complaint(Program.drawn(seed))
        assert not said, said


def test_everything_is_drawn() -> None:
    programs = [Program.drawn(seed) for seed in range(RUN)]
    assert {block for program in programs for block in program.blocks} == set(BLOCKS)
    assert {program.head for program in programs} == set(HEADS)
    assert len({(program.blocks, program.head) for program in programs}) > 0.9 * RUN


def test_the_same_seed_draws_the_same() -> None:
    (one, x), (other, y) = (Program.drawn(7).build() for _ in range(2))
    assert torch.equal(x, y)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> str:
    """A block that fails where there is a counter, too."""
    text = "if any(name.startswith('log_') for name in vars(self)): raise ValueError('as it was told')"
    monkeypatch.setitem(grammar.BLOCKS, "faulty", ("", text))
    return "faulty"


@pytest.mark.slow
def test_a_failure_is_shown_by_the_shortest_module_that_has_it(faulty: str) -> None:
    program = Program(("linear", "dropout", "lstm", "counter", "tied", faulty, "views"), "dict", 5)
    said = complaint(program)
    assert "as it was told" in said
    assert "seed 5" in said
    assert "class Net(nn.Module)" in said
    shortest = said.partition("shortened")[2]
    assert "raise ValueError" in shortest
    assert "LSTM" not in shortest and "logits" not in shortest and "self.log_0" in shortest


def test_traces_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def nothing(*_: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(invariants, "sandbox", nothing)
    assert any("traces at" in line for line in broken(Program(("batch norm",), "tensor", 0)))


def test_another_gradient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = invariants.probe

    def off(subject: Any) -> Trace:
        trace = probe(subject)
        subject.model.stem.weight.grad.mul_(1.0001)
        return trace

    monkeypatch.setattr(invariants, "probe", off)
    said = broken(Program(("linear",), "tensor", 0))
    assert any("stem.weight differs" in line for line in said)
    assert any("stem.weight: norm" in line for line in said)


def test_a_verdict_by_scale_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = invariants.probe

    def off(subject: Any) -> Trace:
        trace = probe(subject)
        if trace.loss is not None and abs(trace.loss) > 1000.0:
            flow = tuple(dataclasses.replace(point, gradient=point.gradient * 0.001**i) for i, point in enumerate(trace.flow))
            trace = dataclasses.replace(trace, flow=tuple(reversed(flow)))
        return trace

    monkeypatch.setattr(invariants, "probe", off)
    assert any("times 1024" in line for line in broken(Program(("linear", "layer norm", "linear", "activations"), "tensor", 0)))


def test_a_module_that_needs_nothing_is_a_module() -> None:
    model, x = Program((), "tensor", 0).build()
    assert isinstance(model, nn.Module)
    assert model(x).shape == (5, 2)
