"""The loss over all alignments of a short target with many steps (CTC): its arguments, and whether any alignment exists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class CtcLoss:
    """The arguments of `ctc_loss` in their order."""

    scores: Any
    targets: Any
    steps: Any
    lengths: Any
    blank: int

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CtcLoss:
        names = ("log_probs", "targets", "input_lengths", "target_lengths")
        values = {**dict(zip((*names, "blank"), args, strict=False)), **kwargs}
        scores, targets, steps, lengths = (values.get(name) for name in names)
        return cls(scores, targets, steps, lengths, int(values.get("blank", 0)))

    @property
    def impossible(self) -> bool:
        """Some target holds the blank, or has more symbols than there are steps."""
        if not isinstance(self.targets, torch.Tensor) or self.targets.dim() != 2:
            return False
        steps = torch.as_tensor(self.steps).tolist()
        for row, count, length in zip(self.targets, steps, torch.as_tensor(self.lengths).tolist(), strict=False):
            symbols = row[:length]
            repeated = int((symbols[1:] == symbols[:-1]).sum())
            if bool((symbols == self.blank).any()) or length + repeated > count:
                return True
        return False
