"""What a check holds in memory, and that its cost stays in proportion where tensors are very many."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.speed.memory import extra_over_snapshot
from benchmarks.speed.ratios import step, subject_of
from benchmarks.speed.scale import Scales
from benchmarks.speed.sound import SOUND, TINY
from gradcheck_health import check_gradients
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.saved_tensor import SavedTensor
from gradcheck_health.model.sandbox.small_tensors import PlainTensors


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny MLP", "U-Net"])
def test_a_check_holds_the_copy_of_the_model_and_little_more(name: str) -> None:
    """Torch's own record of allocations; the gradients of one pass are not held beside those of another."""
    torch.manual_seed(0)
    model, x = {**TINY, **SOUND}[name]()
    found = extra_over_snapshot(model, partial(step, subject_of(model, x)), lambda: check_gradients(model, x))
    assert 0.9 < found < 1.06


def test_many_small_tensors_are_remembered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    alone: list[Any] = []
    remember = SavedTensor.__init__
    monkeypatch.setattr(SavedTensor, "__init__", lambda self, *args: alone.append(args) or remember(self, *args))
    assert check_gradients(Scales(50), torch.randn(8, 8)).ok
    assert alone == []
    with sandbox(nn.Linear(200, 200)):
        assert len(alone) == 1  # of 160 kB


@pytest.mark.slow
def test_walks_of_the_collector_do_not_grow_with_the_model() -> None:
    """Ten times the tensors: ten times the rows, and no more than a few walks over them."""
    walks: list[int] = []

    def count(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] > 0:
            walks.append(info["generation"])

    tensors = [torch.zeros(1) for _ in range(20_000)]
    model = nn.Module()
    model.kept = tensors
    gc.callbacks.append(count)
    try:
        with sandbox(model):
            pass
    finally:
        gc.callbacks.remove(count)
    assert len(walks) <= 3
    assert list(PlainTensors().take(tensors)) == []
