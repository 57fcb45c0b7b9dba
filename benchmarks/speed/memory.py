"""Peak memory of tensors, exactly: torch's own record of every allocation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile


def peak(run: Callable[[], object]) -> int:
    """The most bytes that the run held at once, beyond what was there before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    events = recorded.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = highest = 0
    for _, change in changes:
        held += change
        highest = max(highest, held)
    return highest


def snapshot(model: nn.Module) -> int:
    """Bytes of the parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))


def extra_over_snapshot(model: nn.Module, bare: Callable[[], object], whole: Callable[[], object]) -> float:
    """Peak of the whole call beyond that of the bare step, in snapshots: the copy that is put back is 1."""
    torch.set_grad_enabled(True)
    for parameter in model.parameters():
        parameter.grad = None
    peaks = []
    for run in (bare, whole):
        run()
        for parameter in model.parameters():
            parameter.grad = None
        peaks.append(peak(run))
        for parameter in model.parameters():
            parameter.grad = None
    return (peaks[1] - peaks[0]) / snapshot(model)
