"""What an optimizer keeps of each parameter, its momentum and the like: does it hold NaN or Inf?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from gradcheck_health.probe.training.measure import plain
from gradcheck_health.probe.training.watching.reader import Reader

FIRST, EVERY = (2, 10), 100
"""Steps at which all buffers are read."""


def read_at(step: int) -> bool:
    return step in FIRST or step % EVERY == 0


def nonfinite(optimizer: torch.optim.Optimizer, readers: Sequence[Reader]) -> Iterator[tuple[int, str]]:
    """(place of the parameter, name of the first of its buffers that holds NaN or Inf)."""
    for watched in (one for reader in readers for one in reader.watched):
        for name, buffer in optimizer.state.get(watched.tensor, {}).items():
            if isinstance(buffer, torch.Tensor) and buffer.is_floating_point() and buffer.dim() and _broken(plain(buffer)):
                yield watched.place, name
                break


def _broken(values: torch.Tensor) -> bool:
    return not math.isfinite(float(values.sum(dtype=torch.float32))) and not bool(values.isfinite().all())
