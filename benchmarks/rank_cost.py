"""What a pass under observation costs beside a bare step of the same model, spread over two ranks in three ways.

python -m benchmarks.rank_cost [--width 128] [--depth 4]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from gradcheck_health.model.distributed.ranks import in_step
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe import Subject, probe
from gradcheck_health.records.inputs import Inputs
from tests.check.distributed.nets import Transformer
from tests.check.distributed.spread import WAYS
from tests.support.ranks import results

REPEATS = 9


def times(way: str, width: int, depth: int) -> dict[str, float]:
    """Seconds on this rank, the median of several in turn: a bare step, and a pass in the sandbox of a check."""
    torch.manual_seed(0)
    model = WAYS[way](Transformer(depth, width))
    ids = torch.randint(0, 32, (16, 64), generator=torch.Generator().manual_seed(0))
    inner: Any = model.module if way == "ddp" else model

    def bare() -> None:
        model.zero_grad()
        model(ids).square().mean().backward()

    def observed() -> None:
        with in_step(60.0):
            probe(Subject(inner, Inputs((ids,), batch=16)))

    with sandbox(model):
        both = [(_seconds(bare), _seconds(observed)) for _ in range(1 + REPEATS)][1:]
    return {"bare": statistics.median(one for one, _ in both), "observed": statistics.median(one for _, one in both)}


def _seconds(run: Callable[[], None]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    given = parser.parse_args()
    for way in ("ddp", "fsdp", "tensor"):
        ranks = results("benchmarks.rank_cost:times", way=way, width=given.width, depth=given.depth)
        bare, observed = (max(rank[what] for rank in ranks) for what in ("bare", "observed"))
        sys.stdout.write(
            f"{way:7} bare {1e3 * bare:6.0f} ms, observed {1e3 * observed:6.0f} ms: {observed / bare - 1:+.2f} of a step\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
