"""Is a backward the derivative of its forward? Entry by entry against central differences in float64, at smooth points."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from gradcheck_health.model.call import seed_everything
from gradcheck_health.probe.backward import slopes

Function = Callable[[Sequence[torch.Tensor]], "list[torch.Tensor]"]
"""From the inputs to the outputs that carry a gradient, in float64."""
ENTRIES = 24
"""Entries of each input that are examined."""
_SECONDS = 1.0
_STEP = 2.0**-17
"""About eps^(1/3) of float64: where rounding and curvature disturb a central difference equally."""
_SAME = 1e-8
"""Of the length of a slope: a ten thousandth of one entry among a hundred million would show."""
_EVEN = 1e-5
"""Relative disagreement of two step widths from which on a point is not smooth."""


@dataclass(frozen=True, slots=True)
class DerivativeCheck:
    """One entry of an input: the derivative of a random projection of the outputs, measured and claimed."""

    position: int
    measured: float
    claimed: float


def compare(function: Function, inputs: Sequence[torch.Tensor], which: int, seed: int) -> list[DerivativeCheck]:
    """Entries of `inputs[which]` at which the function is smooth.

    Up to three are found by halving random directions along which the two disagree, so that a fault in a corner is not missed.
    """
    judge = _Judge(function, inputs, which, seed)
    generator = torch.Generator().manual_seed(seed)
    size = inputs[which].numel()
    chosen = torch.randperm(size, generator=generator)[: judge.affordable()].tolist()
    for _ in range(3 if size > len(chosen) else 0):
        direction = torch.randn(inputs[which].shape, generator=generator, dtype=torch.float64).to(inputs[which].device)
        chosen += [] if judge.agree(direction) else [judge.worst(direction)]
    return [entry for position in dict.fromkeys(chosen) if (entry := judge.entry(position)) is not None]


class _Judge:
    def __init__(self, function: Function, inputs: Sequence[torch.Tensor], which: int, seed: int) -> None:
        self._function, self._inputs, self._which, self._seed = function, list(inputs), which, seed
        seed_everything(seed)
        outputs = function([x.detach().requires_grad_(i == which) for i, x in enumerate(inputs)])
        generator = torch.Generator().manual_seed(seed + 1)
        self._directions = [torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.device) for y in outputs]
        self._x = inputs[which].detach()
        self._scale = float(self._x.square().mean().sqrt()) or 1.0
        self.claimed = self._gradient()
        start = time.perf_counter()
        here = self._value(self._x)
        self._seconds = time.perf_counter() - start
        self._here, self._noise = here, max(1.0, abs(here)) / self._scale

    def affordable(self) -> int:
        """As many entries as a second allows, and four at least: each takes five evaluations."""
        return max(4, min(ENTRIES, int(_SECONDS / (5 * self._seconds + 1e-9))))

    def entry(self, position: int) -> DerivativeCheck | None:
        direction = torch.zeros_like(self._x).flatten()
        direction[position] = 1.0
        measured = self._slope(direction.view_as(self._x), kinks=True)
        return None if measured is None else DerivativeCheck(position, measured, float(self.claimed.flatten()[position]))

    def agree(self, direction: torch.Tensor) -> bool:
        """Measured and claimed slope are the same along all entries at once: none of them alone can be far off."""
        claimed = direction * self.claimed
        gap = abs(self._difference(direction, _STEP * self._scale / 2) - float(claimed.sum()))
        return gap <= 1e-9 * self._noise + _SAME * float(claimed.norm())

    def worst(self, direction: torch.Tensor) -> int:
        """By halving: the half of the entries in whose direction measured and claimed slope differ more."""
        # Entry by entry takes two passes each; halving takes eight for each factor of two, which is 160 for a million entries.
        # The direction is random, so that errors of two entries do not cancel in the sum over a half.
        entries = torch.arange(self._x.numel())
        while len(entries) > 1:
            halves = entries[: len(entries) // 2], entries[len(entries) // 2 :]
            entries = max(halves, key=lambda half: self._gap(direction, half))
        return int(entries[0])

    def _gap(self, direction: torch.Tensor, entries: torch.Tensor) -> float:
        part = torch.zeros_like(direction).flatten()
        part[entries] = direction.flatten()[entries]
        part = part.view_as(direction)
        measured = self._slope(part, kinks=False)
        return 0.0 if measured is None else abs(measured - float((part * self.claimed).sum()))

    def _slope(self, direction: torch.Tensor, *, kinks: bool) -> float | None:
        """The derivative along a direction; None where a kink or a jump is near (`kinks`: also one that lies at the point)."""
        h = _STEP * self._scale
        wide, narrow = (self._difference(direction, step) for step in (h, h / 2))
        tolerance = _EVEN * max(abs(wide), abs(narrow)) + 1e-9 * self._noise
        if not abs(wide - narrow) <= tolerance:
            return None
        if kinks:
            there = self._value(self._x + h * direction)
            if abs((there - self._here) / h - wide) > 0.01 * abs(wide) + 1e-6 * self._noise:
                return None
        return narrow

    def _difference(self, direction: torch.Tensor, h: float) -> float:
        return (self._value(self._x + h * direction) - self._value(self._x - h * direction)) / (2 * h)

    def _value(self, x: torch.Tensor) -> float:
        seed_everything(self._seed)
        given = [x if i == self._which else value for i, value in enumerate(self._inputs)]
        with torch.enable_grad():  # what a function returns without one is no output
            outputs = self._function([value.detach().requires_grad_(i == self._which) for i, value in enumerate(given)])
        return sum(float((y.detach() * r).sum()) for y, r in zip(outputs, self._directions, strict=True))

    def _gradient(self) -> torch.Tensor:
        seed_everything(self._seed)
        given = [value.detach().requires_grad_(i == self._which) for i, value in enumerate(self._inputs)]
        outputs = self._function(given)
        (gradient,) = slopes(outputs, [given[self._which]], self._directions)
        return torch.zeros_like(self._x) if gradient is None else gradient.detach()
