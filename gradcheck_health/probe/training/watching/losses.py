"""Losses of a loop, one a step, left on the device until a measured step fetches them with everything else."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import torch

FIRST, LAST = 100, 200
BETWEEN = 400


class Losses:
    """What was handed over before each step; several before one step (accumulation) count as their mean."""

    def __init__(self) -> None:
        self._given: list[Any] = []
        self._waiting: list[tuple[int, list[Any]]] = []
        self._first: list[tuple[int, float]] = []
        self._between: list[tuple[int, float]] = []
        self._last: deque[tuple[int, float]] = deque()
        self._stride = self._count = 0

    def add(self, value: Any) -> None:
        """A tensor of one entry, or a number; the rest is ignored."""
        if isinstance(value, torch.Tensor):
            if value.numel() == 1 and not value.is_complex():
                self._given.append(float(value.item()) if value.is_cpu else value.detach())
        elif isinstance(value, int | float):
            self._given.append(float(value))

    def before_step(self, step: int) -> None:
        """A step is taken: what was handed over since the last one belongs to it."""
        if self._given:
            self._waiting.append((step, self._given))
            self._given = []

    def waiting(self) -> list[torch.Tensor]:
        """The tensors that are not read yet."""
        return [one for _, values in self._waiting for one in values if isinstance(one, torch.Tensor)]

    @property
    def unread(self) -> bool:
        return bool(self._waiting)

    def read(self, numbers: list[float]) -> None:
        """Their numbers, in order."""
        rest = iter(numbers)
        for step, values in self._waiting:
            found = [next(rest) if isinstance(one, torch.Tensor) else one for one in values]
            self._keep((step, sum(found) / len(found)))
        self._waiting.clear()

    @property
    def latest(self) -> float | None:
        kept = self._last or self._first
        return kept[-1][1] if kept else None

    def all(self) -> tuple[tuple[int, float], ...]:
        return (*self._first, *self._between, *self._last)

    def _keep(self, pair: tuple[int, float]) -> None:
        if len(self._first) < FIRST:
            self._first.append(pair)
            return
        self._last.append(pair)
        if len(self._last) > LAST:
            old = self._last.popleft()
            self._count += 1
            if self._count % (2**self._stride) == 0 or not math.isfinite(old[1]):
                self._between.append(old)
            if len(self._between) > BETWEEN:
                self._between = self._between[1::2]
                self._stride += 1
