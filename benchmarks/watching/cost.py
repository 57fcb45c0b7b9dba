"""What watching costs: thread time of the hooks over that of the step, on one core, less what the clock costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.watching.parts import mlp
from gradcheck_health.check.watch.loop import Watch
from gradcheck_health.check.watch.watch import watch
from gradcheck_health.probe.training.watching.calls import Calls
from gradcheck_health.probe.training.watching.passes import Passes
from gradcheck_health.probe.training.watching.watcher import Watcher, _Turn


def _transformer(depth: int, width: int) -> nn.Module:
    layers = [nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True) for _ in range(depth)]
    return nn.Sequential(*layers, nn.Linear(width, 16))


def _convolutions() -> nn.Module:
    layers: list[nn.Module] = []
    for i in range(6):
        layers += [nn.Conv2d(3 if not i else 32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


MODELS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "MLP 8 x 64": lambda: (mlp(64, *[64] * 8, 10), torch.randn(128, 64)),
    "MLP 4 x 192": lambda: (mlp(192, *[192] * 4, 10), torch.randn(128, 192)),
    "transformer 4 x 96": lambda: (_transformer(4, 96), torch.randn(12, 32, 96)),
    "conv 6 x 32": lambda: (_convolutions(), torch.randn(16, 3, 16, 16)),
    "MLP 4 x 1024": lambda: (mlp(1024, *[1024] * 4, 10), torch.randn(32, 1024)),
    "transformer 6 x 192": lambda: (_transformer(6, 192), torch.randn(12, 32, 192)),
    "transformer 12 x 128": lambda: (_transformer(12, 128), torch.randn(12, 32, 128)),
}
SPENT, CALLS = 0.0, 0
_DEPTH = 0


def _timed(method: Any) -> Any:
    """Adds the thread time of the outermost call to `SPENT`, and counts it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        global SPENT, CALLS, _DEPTH
        _DEPTH += 1
        begun = time.thread_time()
        try:
            return method(*args, **kwargs)
        finally:
            _DEPTH -= 1
            if not _DEPTH:
                SPENT += time.thread_time() - begun
                CALLS += 1

    return call


@_timed
def _nothing() -> None:
    """What a call costs that is timed and does nothing."""


def measure(build: Callable[[], tuple[nn.Module, torch.Tensor]], every: int, steps: int) -> tuple[float, float]:
    """Milliseconds of a step without the hooks, and the hooks' share of it, after the first dense steps."""
    global SPENT, CALLS
    torch.manual_seed(0)
    model, x = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    whole = hooks = 0.0
    with watch(model, optimizer, every=every, dense=10, on_sick="log", second_look=False) as health:
        for k in range(steps + 20):
            begun = time.thread_time()
            optimizer.zero_grad()
            loss = model(x).square().mean()
            before = SPENT
            _nothing()
            clock, SPENT, CALLS = SPENT - before, before, CALLS - 1
            health.loss(loss)
            loss.backward()
            optimizer.step()
            if k >= 20:
                whole, hooks = whole + time.thread_time() - begun - (CALLS + 1) * clock, hooks + SPENT - CALLS * clock
            SPENT, CALLS = 0.0, 0
    return 1e3 * (whole - hooks) / steps, hooks / (whole - hooks)


def table() -> str:
    """One row a model."""
    for kind, names in (
        (_Turn, ("begin", "end")),
        (Watcher, ("loss",)),
        (Passes, ("_arrive",)),
        (Calls, ("_forward",)),
        (Watch, ("loss",)),
    ):
        for name in names:
            setattr(kind, name, _timed(getattr(kind, name)))
    rows = ["| model | tensors, parameters | step | k = 1 | k = 10 |", "|---|---|---|---|---|"]
    for name, build in MODELS.items():
        parameters = list(build()[0].parameters())
        ms, _ = measure(build, 10, 20)
        steps = max(20, min(200, int(2000 / ms))) // 10 * 10
        step, dense = measure(build, 1, steps)
        _, sparse = measure(build, 10, steps)
        count = sum(p.numel() for p in parameters) / 1e6
        rows.append(f"| {name} | {len(parameters)}, {count:.2f} M | {step:.1f} ms | {dense:.1%} | {sparse:.2%} |")
    return "\n".join(rows)
