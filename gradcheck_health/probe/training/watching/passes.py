"""Backward passes, counted at one parameter of an optimizer: was its gradient cleared, thrown away, clipped?

torch counts the changes of a tensor: where nobody cleared a gradient, a backward pass adds 1 to what it was after the last
step; where somebody zeroed it, 2; a gradient that was None is another tensor. Nothing is read from the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gradcheck_health.records.history import WEIGHTS

MANY = 20
"""Gradients thrown away in a row, after which somebody should know, though no step is taken."""
LIGHT = 2**20
"""Entries of the parameter that is followed, at most: its last gradient is kept until the next arrives."""


class Passes:
    """Hooks on all parameters of an optimizer until the first step, afterwards on one of those that a gradient reached."""

    def __init__(
        self, tensors: Sequence[torch.Tensor], roles: Sequence[str], thrown_away: Callable[[], None] | None = None
    ) -> None:
        self._thrown_away = thrown_away
        self._candidates = [
            (one, role) for one, role in zip(tensors, roles, strict=True) if one.is_leaf and one.requires_grad and one.numel()
        ]
        self._handles: list[tuple[torch.Tensor, Any]] = []
        self._reached: dict[int, torch.Tensor] = {}
        self.followed: torch.Tensor | None = None
        self._kept: torch.Tensor | None = None
        self._version = 0
        self._cleared = False
        """Since the last step."""
        self._steps = self._before = 0
        self.since_step = 0
        """Backward passes."""
        self.discarded = 0
        self.uncleared = 0
        self.measuring = True
        """Each pass is looked at; otherwise they are counted, until there are many without a step."""
        self.arrived: torch.Tensor | None = None
        """Its norm when the last backward pass had ended, on the device."""

    def start(self) -> None:
        for tensor, _ in self._candidates:
            self._handles.append((tensor, tensor.register_post_accumulate_grad_hook(self._arrive)))  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        while self._handles:
            self._handles.pop()[1].remove()
        self._kept = self.arrived = None
        self._reached.clear()

    @property
    def backwards(self) -> int:
        """Backward passes so far."""
        return self._before + self.since_step

    def stepped(self, measures_next: bool) -> None:
        """The optimizer has taken a step, and this is whether the next one is measured."""
        if self.followed is None:
            self._choose()
        elif self.measuring and self._steps and self.since_step and not self._cleared:
            self.uncleared += 1
        if self.measuring or measures_next:
            self._kept = self.arrived = None
            if measures_next and self.followed is not None:
                self._keep(self.followed)
        self.measuring = measures_next
        self._steps += 1
        self._before += self.since_step
        self.since_step = self.discarded = 0
        self._cleared = False

    def _arrive(self, parameter: torch.Tensor) -> None:
        if self.followed is None:
            self._scout(parameter)
            return
        if not self.measuring and self.since_step < MANY:
            self.since_step += 1
            return
        if parameter is not self.followed:
            return
        gradient = parameter.grad
        fresh = gradient is not self._kept or gradient is None or gradient._version != self._version + 1
        self._count(fresh)
        self._keep(parameter)
        if self.measuring and gradient is not None and gradient.layout == torch.strided:
            with torch._C.DisableTorchFunction():
                values = gradient.detach()
                self.arrived = torch.linalg.vector_norm(values.float() if values.element_size() < 4 else values)

    def _scout(self, parameter: torch.Tensor) -> None:
        """Before the first step: a pass has begun where a parameter is reached that the last one reached, too."""
        if id(parameter) in self._reached or not self._reached:
            if self._reached:
                self._choose()
                self._arrive(parameter)
                return
            self._count(True)
        self._reached[id(parameter)] = parameter

    def _count(self, fresh: bool) -> None:
        if fresh and self.since_step:
            self.discarded += 1
            if self.discarded == MANY and self._thrown_away is not None:
                self._thrown_away()
        self._cleared |= fresh
        self.since_step += 1

    def _choose(self) -> None:
        """A small weight, because a bias before a normalisation has a gradient of nothing but rounding."""
        if not self._reached:
            return

        def cost(entry: tuple[torch.Tensor, str]) -> tuple[bool, bool, int]:
            return entry[0].numel() > LIGHT, entry[1] not in WEIGHTS, entry[0].numel()

        reached = [entry for entry in self._candidates if id(entry[0]) in self._reached]
        self.followed = min(reached, key=cost)[0]
        for tensor, handle in self._handles:
            if tensor is not self.followed:
                handle.remove()
        self._handles = [entry for entry in self._handles if entry[0] is self.followed]
        self._keep(self.followed)

    def _keep(self, parameter: torch.Tensor) -> None:
        self._kept = parameter.grad
        self._version = -2 if self._kept is None else self._kept._version
