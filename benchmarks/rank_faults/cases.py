"""What goes wrong: drawn by number, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tests.check.distributed.nets import Residual, Transformer, convolutions, mlp

TIMEOUT = 6.0
"""Seconds that the ranks wait for one another."""
LONGEST = 120.0
"""Seconds for a case in which the fault never comes."""
KINDS = {"raise": 3, "memory": 3, "quit": 3, "die": 4, "exit": 4, "stall": 4, "stay away": 4}
"""What the rank does -> the exit code of all others, and its own where it lives to have one."""
PLACES = ("forward", "backward", "factory")
SPREAD = (("ddp", 2), ("fsdp", 2), ("tensor", 2), ("hsdp", 4), ("fsdp and tensor", 4), ("fsdp", 4))
MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp, "transformer": Transformer, "convolutions": convolutions, "residual": Residual
}  # fmt: skip
BATCHES = {
    "mlp": lambda n: torch.ones(n, 16), "transformer": lambda n: torch.arange(n * 6).view(n, 6) % 32,
    "convolutions": lambda n: torch.ones(n, 3, 8, 8), "residual": lambda n: torch.ones(n, 12),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One run: what goes wrong, where, on which rank, of which model."""

    number: int
    kind: str
    place: str
    way: str
    size: int
    faulty: int
    model: str
    calls: int
    """Passes through the place that go well before."""
    samples: int | None
    """Of the batch that is given; None: it is made up."""

    @classmethod
    def drawn(cls, number: int) -> Case:
        draw = random.Random(number)
        kind = list(KINDS)[number % len(KINDS)]
        way, size = SPREAD[number % len(SPREAD)]
        place = "none" if kind == "stay away" else draw.choice(PLACES)
        samples = draw.choice((None, 2, 4, 8))
        model = draw.choice(("mlp", "transformer") if "tensor" in way else list(MODELS))
        return cls(
            number,
            kind,
            place,
            way,
            size,
            draw.randrange(size),
            model,
            draw.randrange(2 if place == "backward" else 4),
            samples,
        )

    def __str__(self) -> str:
        batch = "made up" if self.samples is None else f"{self.samples} samples"
        where = f"rank {self.faulty} of {self.size}"
        return f"{self.number:3} {self.way:15} {self.model:12} {batch:9}  {where} {self.kind:9} {self.place:8} {self.calls}"
