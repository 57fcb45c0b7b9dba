"""A check keeps other threads whole: what it needs of the default dtype it needs in its own thread."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients


class _Makes(nn.Module):
    """Makes tensors of the default dtype in forward, as positions and masks are."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[layer for _ in range(12) for layer in (nn.Linear(8, 8), nn.Sigmoid())])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(8) / 8
        return self.layers(x + torch.zeros(8) + torch.tensor([1.0]) * steps)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_other_threads_keep_their_default_dtype() -> None:
    seen: set[torch.dtype] = set()
    done, started = threading.Event(), threading.Event()

    def work() -> None:
        while not done.is_set():
            seen.add(torch.zeros(1).dtype)
            started.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    started.wait(10)
    try:
        report = check_gradients(_Makes(), torch.randn(8, 8), facts=["float64", "headroom"], rounds=2)
    finally:
        done.set()
        thread.join()
    alone = check_gradients(_Makes(), torch.randn(8, 8), facts=["float64", "headroom"], rounds=2)
    assert seen == {torch.float32}
    assert torch.get_default_dtype() == torch.float32
    for one in (report, alone):
        (wide,) = one.trace.facts["float64"]
        assert {out.dtype for out in wide.outputs} == {"float64"}
