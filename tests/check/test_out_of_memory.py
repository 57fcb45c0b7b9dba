"""How much memory there is says nothing about a model: no finding, but one error that says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import ModelError, check_gradients
from gradcheck_health.records.errors import ran_out_of_memory

WORDS = (
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "could not create a primitive",
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory",
)


@pytest.mark.parametrize("text", WORDS)
def test_every_wording_is_known(text: str) -> None:
    assert ran_out_of_memory(RuntimeError(text))
    assert not ran_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


class Hungry(torch.autograd.Function):
    """Runs out of memory on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        raise RuntimeError(WORDS[0])


class Large(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = Hungry.apply(self.layer(x))  # type: ignore[no-untyped-call]
        return out


def test_backward_without_memory_is_no_finding() -> None:
    with pytest.raises(ModelError, match="not judged: out of memory in the backward pass"):
        check_gradients(Large(), torch.randn(4, 8))


def test_fact_without_memory_is_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradcheck_health.probe.facts import kicked

    def starve(*_: Any) -> None:
        raise RuntimeError(WORDS[1])

    monkeypatch.setattr(kicked, "kicked", starve)
    deep = nn.Sequential(*(layer for _ in range(10) for layer in (nn.Linear(8, 8), nn.Sigmoid())))
    with pytest.raises(ModelError, match="not judged: out of memory while kicked was measured"):
        check_gradients(deep, torch.randn(4, 8))


def test_copy_without_memory_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradcheck_health.check import prepare

    @contextmanager
    def starve(*_: Any, **__: Any) -> Iterator[None]:
        raise RuntimeError(WORDS[2])
        yield

    monkeypatch.setattr(prepare, "sandbox", starve)
    with pytest.raises(ModelError, match="not judged: out of memory while it was checked"):
        check_gradients(nn.Linear(8, 3), torch.randn(4, 8))
