"""Paired ratios: runs take turns, and each ratio is taken within a turn, so that what slows the machine slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def seconds(run: Callable[[], object]) -> float:
    """CPU seconds of this process on one thread, which neighbours on the machine disturb least; on an accelerator the wall's."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
        start = time.perf_counter()
        run()
        torch.accelerator.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    run()
    return time.process_time() - start


def turns(
    runs: Mapping[str, Callable[[], object]], count: int, warm: int = 2, settle: Callable[[], object] | None = None
) -> list[dict[str, float]]:
    """Seconds of every run, once a turn; the first turns are left out.

    Args:
        settle: comes before each run, not timed: all find caches, allocator and model in the same state. The first run where
            it is not given.
    """
    rows = []
    before = next(iter(runs.values())) if settle is None else settle
    for turn in range(count + warm):
        row = {}
        for name, run in runs.items():
            before()
            row[name] = seconds(run)
        if turn >= warm:
            rows.append(row)
    return rows


def ratio(rows: list[dict[str, float]], name: str, base: str = "bare") -> float:
    """Median over the turns."""
    return statistics.median(row[name] / row[base] for row in rows)


def median_ms(rows: list[dict[str, float]], name: str) -> float:
    return 1e3 * statistics.median(row[name] for row in rows)


def added_ms(rows: list[dict[str, float]], name: str, base: str = "bare") -> float:
    return 1e3 * statistics.median(row[name] - row[base] for row in rows)
