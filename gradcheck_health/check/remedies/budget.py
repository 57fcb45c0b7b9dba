"""How long all cures of a model may take together: as long as thirty checks of it.

Counted in processor time, so that what else runs on the machine cuts nothing off. A check cannot be stopped half-way: one is
begun only where the longest so far would still end in time, and the first one is always begun.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from gradcheck_health.model.distributed.ranks import on_any_rank

CHECKS = 30
"""Checks of the model without a cure, whose time all cures may take."""
SPENT = f"the time of {CHECKS} checks was used up"
"""Why a cure was not measured."""


@dataclass(frozen=True, slots=True)
class Budget:
    end: float
    """Processor time of this process from which on nothing is begun."""

    @classmethod
    def of(cls, seconds: float) -> Budget:
        """What is left from now on, after a check that took so long."""
        return cls(time.process_time() + CHECKS * seconds)

    def half(self) -> Budget:
        """For first passes, so that time is left for whole checks."""
        return Budget((time.process_time() + self.end) / 2)

    def allows(self, expected: float) -> bool:
        """Whether what takes about so long would end in time, on every rank: they try the same cures together."""
        return not on_any_rank(time.process_time() + expected > self.end)
